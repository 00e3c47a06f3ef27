/** A device's connection to a simulated node: what it sends, and the acknowledgements that it receives. */
import { Effect } from "effect"
import type { PacketBuffer } from "../../../../src/Client/PacketBuffer.ts"
import * as ClientMessages from "../../../../src/Client/Messages.ts"
import type { Acknowledgement, Capture } from "../../../../src/Recording.ts"
import type { CaptureWriter } from "../../../../src/Recording/Capture/CaptureWriter.ts"
import type { SimulatedNode } from "./SimulatedNode.ts"

const patienceMillis = 30_000

const turn = Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))

export class SimulatedConnection {
  readonly #node: SimulatedNode
  readonly #buffer: PacketBuffer
  readonly #capture: Capture & Pick<CaptureWriter, "close">
  readonly #heard: ReturnType<SimulatedNode["capture"]>["heard"]
  readonly #say: (event: string) => void
  #rooms = 0
  hasFailed = false

  constructor(
    node: SimulatedNode,
    {
      buffer,
      conversation,
      say
    }: { readonly buffer: PacketBuffer; readonly conversation: string; readonly say: (event: string) => void }
  ) {
    this.#node = node
    this.#buffer = buffer
    this.#say = say
    buffer.reset()
    const { capture, heard } = node.capture()
    this.#capture = capture
    this.#heard = heard
    const selected = buffer.conversation ?? conversation
    say(`connected to ${selected} with ${buffer.unacknowledged / 2} samples`)
    buffer.select(selected)
    capture.switchTo(selected)
  }

  readonly receive = Effect.map(turn, () => {
    for (const ack of this.#heard.acks.splice(0)) this.#acknowledge(ack)
    for (const failure of this.#heard.failures.splice(0)) this.#fail(failure)
  })

  send(most: number): void {
    for (let count = 0; count < most && this.#heard.rooms > this.#rooms && !this.hasFailed; count++) {
      if (this.#buffer.isBlocked && !this.#buffer.isInFlight) return this.#fail("a conversation is selected again")
      const outgoing = this.#buffer.next()
      if (outgoing === undefined) return
      if (outgoing.selects !== undefined) this.#capture.switchTo(outgoing.selects)
      const { message } = outgoing
      const start = new DataView(message.buffer).getFloat64(ClientMessages.audioHead - 8, true)
      const audio = message.subarray(ClientMessages.audioHead)
      this.#say(`sent ${start} +${audio.length / 2}`)
      if (this.#capture.append(start, audio) === "full") this.#rooms = this.#heard.rooms
    }
  }

  /** The node makes durable what it has received, which the device does not learn. */
  readonly close = Effect.gen({ self: this }, function* () {
    this.#say("disconnected")
    const end = { isReached: false }
    this.#capture.close(() => {
      end.isReached = true
    })
    const until = performance.now() + patienceMillis
    while (!end.isReached) {
      if (performance.now() > until) return yield* Effect.die(new Error("the capture does not end"))
      yield* this.#node.commit
      yield* turn
    }
  })

  #acknowledge({ bytes, conversation }: Acknowledgement): void {
    this.#say(`acknowledged ${bytes / 2} samples of ${conversation}`)
    if (!this.#buffer.acknowledge(conversation, bytes)) this.#fail("the end of a conversation is not acknowledged")
  }

  #fail(reason: string): void {
    this.#say(`failed: ${reason}`)
    this.hasFailed = true
  }
}

/** Devices that stream until they are stopped, through the published client, and change their conversation now and then. */
import { WebSocket } from "ws"
import { CaptureClient } from "../../src/Client.ts"

export const rate = 8_000
export const frameMillis = 1_000
/** Also on a machine that is busy with other work: a client that gives up a connection sends the same again. */
const patienceMillis = 60_000

/** The audio of all devices, which each begins at another place. Longer than the audio and one chunk of a minute. */
const loop = 1 << 21
const noise = Buffer.alloc(2 * loop)

/** Fills the audio. `next` gives numbers from 0 to 1. */
export const fill = (next: () => number): void => {
  for (let at = 0; at < loop; at += 4) noise.writeUInt32LE(Math.floor(next() * 2 ** 32), at)
  noise.copy(noise, loop, 0, loop)
}

export interface Recorded {
  readonly uid: string
  readonly conversation: string
  /** Samples of the device. */
  readonly from: number
  to: number
}

export class Device {
  readonly uid: string
  /** Unix seconds of the first sample. */
  readonly start: number
  readonly recorded: Array<Recorded> = []
  /** Frames that the client had no room for, which are lost. */
  rejected = 0
  readonly #offset: number
  readonly #client: CaptureClient
  readonly #next: () => number
  #sent = 0
  #switchAt = 0

  constructor(index: number, place: { readonly url: string; readonly key: string }, next: () => number) {
    this.uid = `soak-${index}`
    this.#offset = Math.floor(next() * (loop / 2)) * 2
    this.#next = next
    this.start = Math.floor(Date.now()) / 1000
    this.#client = new CaptureClient({
      ...place,
      uid: this.uid,
      conversation: this.#select(),
      sampleRate: rate,
      patienceMillis,
      WebSocket
    })
  }

  get unacknowledged(): number {
    return this.#client.totals.unacknowledged
  }

  /** The state of the client, with the reason if it waits. */
  get state(): string {
    const { reason, state } = this.#client.status
    return state === "waiting" ? `${state}: ${reason}` : state
  }

  /** Sends what is due by the clock. */
  send(): void {
    const frame = (rate * frameMillis) / 1000
    const due = (Date.now() / 1000 - this.start) * rate
    while (this.#sent + frame <= due) {
      if (this.#sent >= this.#switchAt) this.#client.switchTo(this.#select())
      const isAccepted = this.#client.send(this.start + this.#sent / rate, this.audio(this.#sent, frame))
      if (!isAccepted) this.rejected++
      this.#sent += frame
      const current = this.recorded.at(-1)
      if (current !== undefined) current.to = this.#sent
    }
  }

  /** At most a minute of samples. */
  audio(from: number, samples: number): Buffer {
    const at = (this.#offset + from * 2) % loop
    return noise.subarray(at, at + samples * 2)
  }

  /** Waits until everything is acknowledged. Returns how it ended. */
  async stop(): Promise<string> {
    const { cause, reason, unacknowledgedBytes } = await this.#client.close({ deadlineMillis: 120_000 })
    return cause === "complete" ? cause : `${cause}, ${unacknowledgedBytes} bytes unacknowledged: ${reason}`
  }

  /** Conversations of two to six minutes. */
  #select(): string {
    const conversation = `${this.uid}-${this.recorded.length}`
    this.recorded.push({ uid: this.uid, conversation, from: this.#sent, to: this.#sent })
    this.#switchAt = this.#sent + (120 + this.#next() * 240) * rate
    return conversation
  }
}

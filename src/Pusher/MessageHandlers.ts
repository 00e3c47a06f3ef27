/** Handlers of the JSON messages of capture sockets. A module registers for its opcode. */
import { Context, Effect, Layer } from "effect"
import { Bulkhead, BulkheadConfig } from "../Bulkhead.ts"
import type { JsonOpcode } from "./Protocol.ts"

/** Requests that a module makes durable at once, in turns of their users. */
const maxAccepting = 4

/** Requests that wait to be made durable, of all users and of one; the next one fails with `Saturated`. */
const maxUnaccepted = 1_000
const maxUnacceptedPerUser = 100

/** The socket that a message came from. */
export interface Sender {
  readonly uid: string
  /** The conversation that the socket feeds. */
  readonly conversation: () => string | undefined
  /** Without effect once the socket is closed. */
  readonly send: (message: Buffer) => void
  /** Segments of its transcripts that were dropped, for the statistics. */
  dropped: number
}

/** Called in the socket's message event, so it returns at once, and bounds what it starts. False if the text can't be used. */
export type Handler = (sender: Sender, text: Buffer) => boolean

export class MessageHandlers extends Context.Service<
  MessageHandlers,
  {
    add(opcode: JsonOpcode, handler: Handler): Effect.Effect<void>
    readonly get: (opcode: JsonOpcode) => Handler | undefined
  }
>()("spillway/Pusher/MessageHandlers") {
  static readonly layer = Layer.sync(MessageHandlers, () => {
    const handlers = new Map<JsonOpcode, Handler>()
    return MessageHandlers.of({
      add: (opcode, handler) => Effect.sync(() => void handlers.set(opcode, handler)),
      get: (opcode) => handlers.get(opcode)
    })
  })
}

/** For handlers that make requests durable. `name` names what is bounded in logs and metrics. */
export const acceptBulkhead = Effect.fnUntraced(function* (name: string) {
  const { retryAfter, warnEvery } = yield* BulkheadConfig
  return yield* Bulkhead.make({
    name,
    permits: maxAccepting,
    maxWaiting: maxUnaccepted,
    maxWaitingPerKey: maxUnacceptedPerUser,
    retryAfter,
    warnEvery
  })
})

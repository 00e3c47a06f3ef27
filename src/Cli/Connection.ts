/** One WebSocket connection to the server. */
import { Duration, Effect, Fiber, Option, Redacted, Schema } from "effect"
import type { Scope } from "effect"
import type { IncomingMessage } from "node:http"
import { WebSocket } from "ws"
import * as Frames from "./Stream/Frames.ts"
import { ErrorResponse } from "./ErrorResponse.ts"

/** The connection failed or ended, and a new one can work, not before `retryAfter`. */
export class Disconnected extends Schema.TaggedError<Disconnected>()("Disconnected", {
  reason: Schema.String,
  retryAfter: Schema.optionalKey(Schema.Duration)
}) {
  override get message() {
    return this.reason
  }

  /** Converts a transient refusal; a permanent one stays as it is. */
  static by(refusal: ErrorResponse): Disconnected | ErrorResponse {
    return refusal.isTransient ? new Disconnected({ reason: refusal.message, retryAfter: refusal.retryAfter }) : refusal
  }
}

/** The server closed the connection for a permanent reason. */
export class Refused extends Schema.TaggedError<Refused>()("Refused", { reason: Schema.String }) {
  override get message() {
    return this.reason
  }
}

export interface Connection {
  /** Waits while the socket buffers more than `maxBuffered` bytes. */
  send(frame: Uint8Array): Effect.Effect<void, Disconnected | Refused>
  /** Fails when the connection ends. */
  readonly ended: Effect.Effect<never, Disconnected | Refused>
}

export interface Options {
  readonly url: string
  readonly key: Redacted.Redacted
  readonly maxBuffered: number
  /** Longest time for the handshake. */
  readonly patience: Duration.Duration
  /** Called synchronously for each message, in order. */
  readonly onReceived: (received: Frames.Received) => void
}

/** RFC 6455: not understood (1002, 1003, 1007), policy violation (1008), too large (1009). */
const permanent = [1002, 1003, 1007, 1008, 1009]

/** Rate limits of close code 1008 are transient: they count per connection. */
const tooFast = /^(too many messages a second|more was sent than can be buffered)$/

/** Close reason of a server at capacity. */
const later = /^Retry-After: (\d{1,9}); (.+)$/

const isFinal = (code: number, reason: string) => permanent.includes(code) && !(code === 1008 && tooFast.test(reason))

const describeClose = (code: number, text: string) =>
  code === 1006 ? "The connection broke" : `The server closed the connection (${code}${text === "" ? "" : `: ${text}`})`

/** Longest body of a refused upgrade that is read; a problem is much shorter. */
const maxAnswerBytes = 64 * 1024

/** Reads the body until its end, the bound, a broken connection or `patience` without data. */
const onRefusal = (
  response: IncomingMessage,
  patience: Duration.Duration,
  done: (error: Disconnected | ErrorResponse) => void
) => {
  let body = ""
  const end = () => {
    response.destroy()
    done(Disconnected.by(ErrorResponse.of(response.statusCode ?? 0, body, response.headers["retry-after"])))
  }
  response.setEncoding("utf8")
  response.on("data", (text: string) => {
    body += text
    if (body.length > maxAnswerBytes) end()
  })
  response.once("end", end).once("error", end).setTimeout(Duration.toMillis(patience), end)
}

const ended = (socket: WebSocket) =>
  Effect.callback<never, Disconnected | Refused>((resume) => {
    const end = (code: number, said: string) => {
      const [, seconds, text = said] = later.exec(said) ?? []
      const reason = describeClose(code, text)
      const retryAfter = seconds === undefined ? {} : { retryAfter: Duration.seconds(Number(seconds)) }
      resume(isFinal(code, text) ? new Refused({ reason }) : new Disconnected({ reason, ...retryAfter }))
    }
    const onClose = (code: number, text: Buffer) => end(code, text.toString())
    socket.on("close", onClose)
    return Effect.sync(() => socket.off("close", onClose))
  })

/** Opens a socket for the lifetime of the scope. */
export function open(options: Options): Effect.Effect<Connection, Disconnected | Refused | ErrorResponse, Scope.Scope> {
  return Effect.gen(function* () {
    const socket = yield* Effect.acquireRelease(connect(options), disconnect, { interruptible: true })
    // Subscribes before the first send, so that the close reason is never missed.
    const end = yield* Effect.forkScoped(ended(socket), { startImmediately: true })
    const reason = Fiber.join(end)
    return {
      ended: reason,
      // A send to a closing socket waits for the close reason and fails with it.
      send: (frame) =>
        Effect.callback<boolean>((resume) => {
          if (socket.readyState !== WebSocket.OPEN) return resume(Effect.succeed(false))
          const waits = socket.bufferedAmount > options.maxBuffered
          socket.send(frame, (error) => {
            if (waits) resume(Effect.succeed(!error))
          })
          if (!waits) resume(Effect.succeed(true))
        }).pipe(Effect.flatMap((taken) => (taken ? Effect.void : reason)))
    }
  })
}

/** Time for the server to answer a close; then the socket is terminated. */
const goodbye = Duration.seconds(1)

const disconnect = (socket: WebSocket) =>
  Effect.callback<void>((resume) => {
    if (socket.readyState === WebSocket.CLOSED) return resume(Effect.void)
    socket.once("close", () => resume(Effect.void))
    socket.close(1000)
  }).pipe(Effect.timeoutOption(goodbye), Effect.andThen(Effect.sync(() => socket.terminate())))

const connect = ({ key, onReceived, patience, url }: Options) =>
  Effect.callback<WebSocket, Disconnected | ErrorResponse>((resume) => {
    const socket = new WebSocket(url, {
      headers: { authorization: `Bearer ${Redacted.value(key)}` },
      perMessageDeflate: false,
      handshakeTimeout: Duration.toMillis(patience)
    })
    socket.on("message", (data, binary) => {
      if (binary && Buffer.isBuffer(data)) Option.map(Frames.decode(data), onReceived)
    })
    socket.once("open", () => resume(Effect.succeed(socket)))
    socket.once("unexpected-response", (_, response) =>
      onRefusal(response, patience, (error) => resume(Effect.fail(error)))
    )
    socket.on("error", (error) => {
      const reason =
        error.message === "" ? "The server can't be reached" : `The server can't be reached (${error.message})`
      resume(new Disconnected({ reason }))
    })
    return Effect.sync(() => socket.terminate())
  })

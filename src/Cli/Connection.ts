/** One WebSocket to the server. */
import { Duration, Effect, Fiber, Option, Redacted, Schema } from "effect"
import type { Scope } from "effect"
import type { IncomingMessage } from "node:http"
import { WebSocket } from "ws"
import * as Frames from "./Stream/Frames.ts"
import { ServerSaid } from "./ServerSaid.ts"

/** The connection failed or ended; another one may work, not before `retryAfter`. */
export class Disconnected extends Schema.TaggedError<Disconnected>()("Disconnected", {
  reason: Schema.String,
  retryAfter: Schema.optionalKey(Schema.Duration)
}) {
  override get message() {
    return this.reason
  }

  /** What a server's refusal means to whoever retries: a final one stays as it is. */
  static by(refusal: ServerSaid): Disconnected | ServerSaid {
    return refusal.isTransient ? new Disconnected({ reason: refusal.message, retryAfter: refusal.retryAfter }) : refusal
  }
}

/** The server will not take this, however often it is tried. */
export class Refused extends Schema.TaggedError<Refused>()("Refused", { reason: Schema.String }) {
  override get message() {
    return this.reason
  }
}

export interface Connection {
  /** Waits while more than `maxBuffered` bytes lie in the socket. */
  send(frame: Uint8Array): Effect.Effect<void, Disconnected | Refused>
  /** Fails when the connection ends. */
  readonly ended: Effect.Effect<never, Disconnected | Refused>
}

export interface Options {
  readonly url: string
  readonly key: Redacted.Redacted
  readonly maxBuffered: number
  /** For opening. */
  readonly patience: Duration.Duration
  /** Called in the socket's own event, in order. */
  readonly onReceived: (received: Frames.Received) => void
}

/** RFC 6455: what was sent was not understood (1002, 1003, 1007), not allowed (1008), or too large (1009). */
const permanent = [1002, 1003, 1007, 1008, 1009]

/** Reasons of 1008 that are about how fast frames came: another connection begins with a clean count. */
const tooFast = /^(too many messages a second|more was sent than can be buffered)$/

/** How a server that is full says when to come back. */
const later = /^Retry-After: (\d{1,9}); (.+)$/

const isFinal = (code: number, reason: string) => permanent.includes(code) && !(code === 1008 && tooFast.test(reason))

const describeClose = (code: number, text: string) =>
  code === 1006 ? "The connection broke" : `The server closed the connection (${code}${text === "" ? "" : `: ${text}`})`

/** Of an answer that is no upgrade; a problem is much shorter. */
const maxAnswerBytes = 64 * 1024

/** The answer is read to its end, to the bound, or until the connection breaks or is silent. */
const onRefusal = (
  response: IncomingMessage,
  patience: Duration.Duration,
  done: (error: Disconnected | ServerSaid) => void
) => {
  let body = ""
  const end = () => {
    response.destroy()
    done(Disconnected.by(ServerSaid.of(response.statusCode ?? 0, body, response.headers["retry-after"])))
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

/** The socket is closed with the scope. */
export function open(options: Options): Effect.Effect<Connection, Disconnected | Refused | ServerSaid, Scope.Scope> {
  return Effect.gen(function* () {
    const socket = yield* Effect.acquireRelease(connect(options), disconnect, { interruptible: true })
    // Listens from the start, so that the reason is known whoever asks first, and when.
    const end = yield* Effect.forkScoped(ended(socket), { startImmediately: true })
    const reason = Fiber.join(end)
    return {
      ended: reason,
      // A socket that is closing takes nothing more, but why it closes is said only later: that is what a send fails with.
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

/** Time for the server to answer a close. */
const goodbye = Duration.seconds(1)

const disconnect = (socket: WebSocket) =>
  Effect.callback<void>((resume) => {
    if (socket.readyState === WebSocket.CLOSED) return resume(Effect.void)
    socket.once("close", () => resume(Effect.void))
    socket.close(1000)
  }).pipe(Effect.timeoutOption(goodbye), Effect.andThen(Effect.sync(() => socket.terminate())))

const connect = ({ key, onReceived, patience, url }: Options) =>
  Effect.callback<WebSocket, Disconnected | ServerSaid>((resume) => {
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

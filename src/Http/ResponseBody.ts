/**
 * Sends a response whose body is read while it is sent. Effect's streamed responses do not say when the system has taken a
 * piece, so a buffer could not be reused, and they read only when all before is sent.
 */
import { ServerResponse } from "node:http"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import { Cause, Effect, Exit } from "effect"
import { HttpEffect, type HttpServerRequest, HttpServerResponse } from "effect/http"

/** Sent together. */
export type Pieces = ReadonlyArray<Uint8Array>

export interface ResponseBody<E> {
  readonly first: Pieces
  /** Undefined at the end. Called for more while the pieces before are being sent. */
  readonly next: Effect.Effect<Pieces | undefined, E>
  /** The system has taken the piece, and nothing refers to its bytes any more. */
  readonly onSent: (piece: Uint8Array) => void
}

export interface Head {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** Of the body, in bytes. If it is undefined, the body ends with its last piece. */
  readonly length: number | undefined
}

const lengthOf = (pieces: Pieces): number => pieces.reduce((sum, { length }) => sum + length, 0)

/** Begins to write. Returns what waits until the system has taken everything (true), or the connection is closed (false). */
const write = (
  response: ServerResponse,
  pieces: Pieces,
  isLast: boolean,
  onEmpty = () => {}
): Effect.Effect<boolean> => {
  let result: boolean | undefined = response.destroyed ? false : undefined
  let wake: ((isTaken: boolean) => void) | undefined
  const settle = (isTaken: boolean) => {
    if (result !== undefined) return
    result = isTaken
    if (isTaken && !isLast) onEmpty()
    response.off("close", onClose)
    wake?.(isTaken)
  }
  const onClose = () => settle(false)
  const onTaken = (error?: Error | null) => settle(error === undefined || error === null)
  if (result === undefined) {
    response.once("close", onClose)
    const last = pieces.at(-1)
    response.cork()
    for (const piece of pieces.slice(0, -1)) response.write(piece)
    if (isLast) response.end(last, onTaken)
    else if (last !== undefined) response.write(last, onTaken)
    response.uncork()
    if (last === undefined && !isLast) {
      response.flushHeaders()
      settle(true)
    }
  }
  return Effect.callback<boolean>((resume) => {
    if (result === undefined) wake = (isTaken) => resume(Effect.succeed(isTaken))
    else resume(Effect.succeed(result))
  })
}

/** The connection of a response that fails or is interrupted is closed, so that its body is not taken for complete. */
const cut = (response: ServerResponse, exit: Exit.Exit<unknown, unknown>) => {
  if (!response.writableEnded) response.destroy()
  return Exit.isFailure(exit) && Cause.hasDies(exit.cause)
    ? Effect.logError("A response was cut", exit.cause)
    : undefined
}

const sendAll = Effect.fnUntracedEager(function* <E>(
  response: ServerResponse,
  { headers, length, status }: Head,
  { first, next, onSent }: ResponseBody<E>
) {
  response.writeHead(status, length === undefined ? headers : { ...headers, "content-length": length })
  let left = length ?? Infinity
  // Bounds how long a reader takes, not how long the next piece does.
  const timeout = response.socket?.timeout ?? 0
  const onEmpty = () => length === undefined && response.setTimeout(0)
  for (let pieces = first; ;) {
    left -= lengthOf(pieces)
    if (length === undefined) response.setTimeout(timeout)
    const written = write(response, pieces, left === 0, onEmpty)
    const following = left === 0 ? undefined : yield* Effect.exit(next)
    if (!(yield* written)) return
    pieces.forEach(onSent)
    if (following === undefined) return
    const more = yield* following
    if (more === undefined && length === undefined) return void (yield* write(response, [], true))
    if (more === undefined || left < 0) return yield* Effect.die(new Error(`the body is not of ${length} bytes`))
    pieces = more
  }
})

/** Returns when the system has taken the response, with what ends the request; a response that fails is cut. */
export const send = Effect.fnUntraced(function* <E>(
  request: HttpServerRequest.HttpServerRequest,
  head: Head,
  body: ResponseBody<E>
) {
  const response = NodeHttpServerRequest.toServerResponse(request)
  if (!(response instanceof ServerResponse)) return yield* Effect.die(new Error("not a response of HTTP/1.1"))
  const sent = HttpServerResponse.empty({ status: head.status })
  if (response.destroyed) return sent
  const all = Effect.suspend(() => sendAll(response, head, body))
  yield* Effect.exit(Effect.onExitPrimitive(all, (exit) => cut(response, exit)))
  return sent
})

/** For streams of events: disables buffering in proxies, and closes the connection with the stream, so that a stop does not wait for it. */
export const unbuffered = HttpEffect.appendPreResponseHandler((_request, response) =>
  Effect.succeed(
    HttpServerResponse.setHeaders(response, {
      "cache-control": "no-store",
      "x-accel-buffering": "no",
      connection: "close"
    })
  )
)

/** Uses undici directly: through Effect's `HttpClient`, 64 KiB take twice as long, and an upload of 1 MiB a third longer. */
import type { Dispatcher } from "@effect/platform-node/Undici"
import { Effect } from "effect"
import type { Array as Arr } from "effect"
import { transient, reasonOf } from "./Fault.ts"
import type { GcsFault } from "./Fault.ts"
import type { Attempt, Watchdog, OnProgress, Timer } from "./Watchdog.ts"

export type Bytes = Arr.NonEmptyReadonlyArray<Uint8Array>

export interface Request {
  readonly origin: string
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE"
  /** Includes the query. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  /** The pieces together have `content-length` bytes; they report progress. */
  readonly body?: (onProgress: OnProgress) => Iterable<Uint8Array>
}

export interface HttpResponse {
  /** Completes when the status and headers have arrived, whatever the status. */
  readonly begun: Effect.Effect<void, GcsFault>
  readonly status: number
  readonly headers: Readonly<Record<string, string | Array<string> | undefined>>
  /** The bytes received since the last call, or the next ones; undefined at the end. */
  readonly next: Effect.Effect<Bytes | undefined, GcsFault>
  /** Aborts the request unless the response is complete. */
  readonly close: () => void
}

const isSome = (pieces: ReadonlyArray<Uint8Array>): pieces is Bytes => pieces.length > 0

export interface Bounds {
  /** Receiving pauses when about this many bytes wait to be read. */
  readonly ahead: number
  /** True: after the headers, time counts only while the reader waits. False: time counts until the response is complete. */
  readonly isRead: boolean
  readonly attempt: Attempt
}

class DispatchedResponse implements Dispatcher.DispatchHandler, HttpResponse {
  status = 0
  headers: HttpResponse["headers"] = {}
  #pieces: Array<Uint8Array> = []
  #size = 0
  #isOver = false
  #fault: GcsFault | undefined
  #controller: Dispatcher.DispatchController | undefined
  #waiter: (() => void) | undefined
  #isWaking = false
  readonly #bounds: Bounds
  readonly #timer: Timer

  constructor(bounds: Bounds, watch: Watchdog) {
    this.#bounds = bounds
    this.#timer = watch.start(bounds.attempt, (fault) => this.#fail(fault))
  }

  /** A slow reader does not count as a stalled request. */
  #pauseTimer() {
    if (this.#bounds.isRead) this.#timer.stop()
    else this.#timer.onProgress()
  }

  readonly onProgress = () => this.#timer.onProgress()

  onRequestStart(controller: Dispatcher.DispatchController) {
    this.#controller = controller
    if (this.#fault !== undefined) controller.abort(this.#fault)
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: HttpResponse["headers"]) {
    if (status < 200) return
    this.status = status
    this.headers = headers
    this.#pauseTimer()
    this.#wake()
  }

  onResponseData(controller: Dispatcher.DispatchController, piece: Uint8Array) {
    this.#pieces.push(piece)
    this.#size += piece.length
    if (this.#size >= this.#bounds.ahead) controller.pause()
    this.#timer.onProgress()
    this.#wake()
  }

  onResponseEnd() {
    this.#isOver = true
    this.#timer.stop()
    this.#wake()
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error) {
    this.#fail(transient(reasonOf(error)))
  }

  readonly begun = Effect.callback<void, GcsFault>((resume) => {
    const result = () => (this.#fault === undefined ? Effect.void : Effect.fail(this.#fault))
    if (this.#fault !== undefined || this.status !== 0) return resume(result())
    return this.#wait(() => resume(result()))
  })

  readonly next = Effect.callback<Bytes | undefined, GcsFault>((resume) => {
    if (this.#pieces.length > 0 || this.#isOver || this.#fault !== undefined) return resume(this.#take())
    this.#timer.start()
    return this.#wait(() => resume(this.#take()))
  })

  readonly close = () => {
    if (!this.#isOver) this.#fail(transient("closed"))
  }

  #wait(waiter: () => void) {
    this.#waiter = waiter
    return Effect.sync(() => {
      this.#waiter = undefined
      this.#pauseTimer()
    })
  }

  /** Deferred to the end of the loop's current turn, so that the reader wakes once for all pieces read in it. */
  #wake() {
    if (this.#waiter === undefined || this.#isWaking) return
    this.#isWaking = true
    // edge: undici calls back; an Effect would be a fiber for each piece.
    setImmediate(this.#woken)
  }

  readonly #woken = () => {
    this.#isWaking = false
    const waiter = this.#waiter
    this.#waiter = undefined
    this.#pauseTimer()
    waiter?.()
  }

  #take(): Effect.Effect<Bytes | undefined, GcsFault> {
    const pieces = this.#pieces
    if (!isSome(pieces)) return this.#fault === undefined ? Effect.undefined : Effect.fail(this.#fault)
    this.#pieces = []
    this.#size = 0
    if (this.#controller?.paused === true) this.#controller.resume()
    return Effect.succeed(pieces)
  }

  #fail(fault: GcsFault) {
    if (this.#isOver || this.#fault !== undefined) return
    this.#fault = fault
    this.#timer.stop()
    this.#controller?.abort(fault)
    this.#wake()
  }
}

/** Sends the request immediately. The caller reads the response to its end or closes it. */
export function send(dispatcher: Dispatcher, watch: Watchdog, bounds: Bounds, request: Request): HttpResponse {
  const { body, headers, method, origin, path } = request
  const response = new DispatchedResponse(bounds, watch)
  const pieces = body?.(response.onProgress)
  // The watchdog replaces undici's timeouts. undici accepts any iterable as a body, though its types do not say so.
  const options = { origin, path, method, headers, headersTimeout: 0, bodyTimeout: 0 }
  dispatcher.dispatch(pieces === undefined ? options : Object.assign(options, { body: pieces }), response)
  return response
}

/**
 * Requests and their answers, straight from undici. Through Effect's `HttpClient`, and Node's streams under it, 64 KiB take
 * twice as long on the same connection, and an upload of 1 MiB a third longer.
 */
import type { Dispatcher } from "@effect/platform-node/Undici"
import { Effect } from "effect"
import type { Array as Arr } from "effect"
import { cut, reasonOf } from "./Fault.ts"
import type { GcsFault } from "./Fault.ts"
import type { Attempt, GcsWatch, Moved, Watched } from "./Watchdog.ts"

export type Bytes = Arr.NonEmptyReadonlyArray<Uint8Array>

export interface Request {
  readonly origin: string
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE"
  /** With the query. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  /** Pieces of what `content-length` says; they tell when they move. */
  readonly body?: (moved: Moved) => Iterable<Uint8Array>
}

export interface GcsAnswer {
  /** The status and headers have come, whatever they are. */
  readonly begun: Effect.Effect<void, GcsFault>
  readonly status: number
  readonly headers: Readonly<Record<string, string | Array<string> | undefined>>
  /** What has come, or comes next; undefined at the end. */
  readonly next: Effect.Effect<Bytes | undefined, GcsFault>
  /** Ends the connection, unless everything has come. */
  readonly close: () => void
}

const isSome = (pieces: ReadonlyArray<Uint8Array>): pieces is Bytes => pieces.length > 0

export interface Bounds {
  /** At most so many bytes or so are read before they are asked for. */
  readonly ahead: number
  /** Time runs until the answer begins, and then while a part of it is waited for; otherwise until all of it is there. */
  readonly isRead: boolean
  readonly attempt: Attempt
}

/** As undici tells of it. */
class Answer implements Dispatcher.DispatchHandler, GcsAnswer {
  status = 0
  headers: GcsAnswer["headers"] = {}
  #pieces: Array<Uint8Array> = []
  #size = 0
  #isOver = false
  #fault: GcsFault | undefined
  #controller: Dispatcher.DispatchController | undefined
  #waiter: (() => void) | undefined
  #isWaking = false
  readonly #bounds: Bounds
  readonly #watched: Watched

  constructor(bounds: Bounds, watch: GcsWatch) {
    this.#bounds = bounds
    this.#watched = watch.begin(bounds.attempt, (fault) => this.#fail(fault))
  }

  /** A reader may take his time; its own does not run meanwhile. */
  #rest() {
    if (this.#bounds.isRead) this.#watched.rest()
    else this.#watched.moved()
  }

  readonly moved = () => this.#watched.moved()

  onRequestStart(controller: Dispatcher.DispatchController) {
    this.#controller = controller
    if (this.#fault !== undefined) controller.abort(this.#fault)
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: GcsAnswer["headers"]) {
    if (status < 200) return
    this.status = status
    this.headers = headers
    this.#rest()
    this.#wake()
  }

  onResponseData(controller: Dispatcher.DispatchController, piece: Uint8Array) {
    this.#pieces.push(piece)
    this.#size += piece.length
    if (this.#size >= this.#bounds.ahead) controller.pause()
    this.#watched.moved()
    this.#wake()
  }

  onResponseEnd() {
    this.#isOver = true
    this.#watched.rest()
    this.#wake()
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error) {
    this.#fail(cut(reasonOf(error)))
  }

  readonly begun = Effect.callback<void, GcsFault>((resume) => {
    const result = () => (this.#fault === undefined ? Effect.void : Effect.fail(this.#fault))
    if (this.#fault !== undefined || this.status !== 0) return resume(result())
    return this.#wait(() => resume(result()))
  })

  readonly next = Effect.callback<Bytes | undefined, GcsFault>((resume) => {
    if (this.#pieces.length > 0 || this.#isOver || this.#fault !== undefined) return resume(this.#take())
    this.#watched.run()
    return this.#wait(() => resume(this.#take()))
  })

  readonly close = () => {
    if (!this.#isOver) this.#fail(cut("closed"))
  }

  #wait(waiter: () => void) {
    this.#waiter = waiter
    return Effect.sync(() => {
      this.#waiter = undefined
      this.#rest()
    })
  }

  /** After what else the loop finds to read now, so that a reader is woken once for all of it. */
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
    this.#rest()
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
    this.#watched.rest()
    this.#controller?.abort(fault)
    this.#wake()
  }
}

/** Asks at once. The answer must be read to its end, or closed. */
export function ask(dispatcher: Dispatcher, watch: GcsWatch, bounds: Bounds, request: Request): GcsAnswer {
  const { body, headers, method, origin, path } = request
  const answer = new Answer(bounds, watch)
  const pieces = body?.(answer.moved)
  // undici's own limits are off, as the watch has them. It takes any iterable for a body; its types do not say so.
  const options = { origin, path, method, headers, headersTimeout: 0, bodyTimeout: 0 }
  dispatcher.dispatch(pieces === undefined ? options : Object.assign(options, { body: pieces }), answer)
  return answer
}

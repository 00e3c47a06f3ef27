/**
 * The bytes of an answer, straight from undici. Effect's `HttpClient`, and Node's streams under it, take as long for a range
 * of 64 KiB as the network does.
 */
import type { Dispatcher } from "@effect/platform-node/Undici"
import { Effect } from "effect"
import type { Array as Arr } from "effect"
import { cut, reasonOf } from "./GcsFault.ts"
import type { GcsFault } from "./GcsFault.ts"
import type { GcsWatch, Watched } from "./GcsWatch.ts"

/** What is read ahead of the reader; then the connection is read no further. */
const ahead = 256 * 1_024

export type Bytes = Arr.NonEmptyReadonlyArray<Uint8Array>

export interface Media {
  /** The status and headers have come, whatever they are. */
  readonly begun: Effect.Effect<void, GcsFault>
  readonly status: number
  readonly headers: Readonly<Record<string, string | Array<string> | undefined>>
  /** What has come, or comes next; undefined at the end. Time runs only while it is waited for. */
  readonly next: Effect.Effect<Bytes | undefined, GcsFault>
  /** Ends the connection, unless everything has come. */
  readonly close: () => void
}

type Waiter = (result: Effect.Effect<Bytes | undefined, GcsFault>) => void

const isSome = (pieces: ReadonlyArray<Uint8Array>): pieces is Bytes => pieces.length > 0

/** One answer as undici tells of it. */
class Answer implements Dispatcher.DispatchHandler, Media {
  status = 0
  headers: Media["headers"] = {}
  #pieces: Array<Uint8Array> = []
  #size = 0
  #isOver = false
  #fault: GcsFault | undefined
  #controller: Dispatcher.DispatchController | undefined
  #waiter: Waiter | undefined
  #watched: Watched
  readonly #watch: GcsWatch

  constructor(watch: GcsWatch) {
    this.#watch = watch
    this.#watched = watch.begin((fault) => this.#fail(fault))
  }

  onRequestStart(controller: Dispatcher.DispatchController) {
    this.#controller = controller
    if (this.#fault !== undefined) controller.abort(this.#fault)
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: Media["headers"]) {
    if (status < 200) return
    this.status = status
    this.headers = headers
    this.#watched.done()
    this.#waiter?.(Effect.succeed(undefined))
  }

  onResponseData(controller: Dispatcher.DispatchController, piece: Uint8Array) {
    this.#pieces.push(piece)
    this.#size += piece.length
    if (this.#size >= ahead) controller.pause()
    this.#waiter?.(this.#take())
  }

  onResponseEnd() {
    this.#isOver = true
    this.#waiter?.(this.#take())
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error) {
    this.#fail(cut(reasonOf(error)))
  }

  readonly begun = Effect.callback<void, GcsFault>((resume) => {
    if (this.#fault !== undefined) return resume(Effect.fail(this.#fault))
    if (this.status !== 0) return resume(Effect.void)
    return this.#wait((result) => resume(Effect.asVoid(result)))
  })

  readonly next = Effect.callback<Bytes | undefined, GcsFault>((resume) => {
    if (this.#pieces.length > 0 || this.#isOver || this.#fault !== undefined) return resume(this.#take())
    this.#watched = this.#watch.begin((fault) => this.#fail(fault))
    return this.#wait(resume)
  })

  readonly close = () => this.#fail(cut("closed"))

  #wait(resume: Waiter) {
    const settle = () => {
      this.#waiter = undefined
      this.#watched.done()
    }
    this.#waiter = (result) => {
      settle()
      resume(result)
    }
    return Effect.sync(settle)
  }

  #take(): Effect.Effect<Bytes | undefined, GcsFault> {
    const pieces = this.#pieces
    if (!isSome(pieces)) return this.#fault === undefined ? Effect.succeed(undefined) : Effect.fail(this.#fault)
    this.#pieces = []
    this.#size = 0
    if (this.#controller?.paused === true) this.#controller.resume()
    return Effect.succeed(pieces)
  }

  #fail(fault: GcsFault) {
    if (this.#isOver || this.#fault !== undefined) return
    this.#fault = fault
    this.#watched.done()
    this.#controller?.abort(fault)
    this.#waiter?.(this.#take())
  }
}

/** Asks at once. Whoever asks must read to the end, or close. */
export const start = (
  dispatcher: Dispatcher,
  watch: GcsWatch,
  request: { readonly origin: string; readonly path: string; readonly headers: Readonly<Record<string, string>> }
): Media => {
  const answer = new Answer(watch)
  // The limits are the watch's.
  dispatcher.dispatch({ ...request, method: "GET", headersTimeout: 0, bodyTimeout: 0 }, answer)
  return answer
}

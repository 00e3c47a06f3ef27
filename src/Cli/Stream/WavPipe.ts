/** Reads a WAV file from a pipe. Samples stay in memory until they are released; nothing is read ahead. */
import * as NodeStream from "@effect/platform-node/NodeStream"
import { Effect, type Exit, Pull, Queue, Stream } from "effect"
import type { Scope } from "effect"
import * as fs from "node:fs"
import * as net from "node:net"
import * as WavReader from "../../WavReader.ts"
import type { UnreadableFile, UnsupportedWav, Wav } from "./Wav.ts"

/** The part of a stream that is in memory. */
class Window {
  /** Stream offsets: the first byte in memory, and the end of what was received. */
  start = 0
  end = 0
  #keptFrom = 0
  readonly #pieces: Array<Uint8Array> = []

  push(piece: Uint8Array) {
    if (piece.length === 0) return
    this.#pieces.push(piece)
    this.end += piece.length
    this.release(0)
  }

  /** Drops the bytes before this offset, including those not yet received. */
  release(before: number) {
    this.#keptFrom = Math.max(this.#keptFrom, before)
    for (let [first] = this.#pieces; first !== undefined; [first] = this.#pieces) {
      if (this.start + first.length > this.#keptFrom) return
      this.start += first.length
      this.#pieces.shift()
    }
  }

  /** Copies the received bytes from `from` up to, not including, `to`. */
  copy(from: number, to: number): Uint8Array {
    const out = new Uint8Array(Math.max(0, Math.min(to, this.end) - from))
    let at = this.start
    for (const piece of this.#pieces) {
      if (at >= to) break
      if (at + piece.length > from) out.set(piece.subarray(Math.max(0, from - at), to - at), Math.max(0, at - from))
      at += piece.length
    }
    return out
  }
}

/** Reads only as far as requested. A separate fiber receives the bytes, so an interrupted reader loses none. */
const windowOf = Effect.fnUntraced(function* <E>(bytes: Stream.Stream<Uint8Array, E>) {
  const window = new Window()
  const pull = yield* Stream.toPull(bytes)
  const demand = yield* Queue.sliding<void>(1)
  const progress = yield* Queue.sliding<void>(1)
  let wanted = 0
  const state: { over?: Exit.Exit<void, E> } = {}

  const more = Effect.gen(function* () {
    while (window.end >= wanted) yield* Queue.take(demand)
    for (const piece of yield* pull) window.push(piece)
    Queue.offerUnsafe(progress, undefined)
  })
  const end = (exit: Exit.Exit<void, E>) =>
    Effect.sync(() => {
      state.over = exit
      Queue.offerUnsafe(progress, undefined)
    })
  yield* Effect.forkScoped(
    Effect.onExit(
      Pull.catchDone(Effect.forever(more), () => Effect.void),
      end
    )
  )

  return {
    window,
    isOver: () => state.over !== undefined,
    /** Waits until the bytes before this offset are received or the stream ends. */
    reach: Effect.fnUntraced(function* (offset: number) {
      wanted = Math.max(wanted, offset)
      Queue.offerUnsafe(demand, undefined)
      while (window.end < offset && state.over === undefined) yield* Queue.take(progress)
      if (window.end < offset && state.over !== undefined) yield* state.over
    })
  }
})

export const open = Effect.fnUntraced(function* (
  bytes: Stream.Stream<Uint8Array, UnreadableFile>,
  unsupported: (wrong: WavReader.Unsupported) => UnsupportedWav
): Effect.fn.Return<Wav, UnreadableFile | UnsupportedWav, Scope.Scope> {
  const { isOver, reach, window } = yield* windowOf(bytes)
  const reading = WavReader.read(undefined)
  let start = 0
  let step = reading.next(new Uint8Array(0))
  while (step.done !== true) {
    start += step.value.skip
    window.release(start)
    const to = start + step.value.peek
    yield* reach(to)
    step = reading.next(window.copy(start, to))
  }
  const audio = step.value
  if ("found" in audio) return yield* unsupported(audio)
  const frame = WavReader.frameBytes(audio)
  const limit = start + (audio.bytes ?? Number.POSITIVE_INFINITY)
  return {
    sampleRate: audio.sampleRate,
    channels: audio.channels,
    isUnfinished: audio.isUnfinished,
    extent: () =>
      isOver() || window.end >= limit ? WavReader.extent(audio, Math.min(window.end, limit) - start) : undefined,
    read: Effect.fnUntraced(function* (from, to) {
      const first = start + from * frame
      const wanted = Math.min(limit, start + to * frame)
      yield* reach(wanted)
      const there = Math.max(0, Math.min(window.end, wanted) - first)
      return WavReader.toMono(window.copy(first, first + there - (there % frame)), audio.channels)
    }),
    release: (sample) => window.release(start + sample * frame)
  }
})

/** Opening blocks until the pipe has a writer. Interruption opens the other end to unblock it. */
const openReadable = <E>(path: string, onError: (error: unknown) => E) =>
  Effect.callback<number, E>((resume) => {
    let isGone = false
    fs.open(path, "r", (error, fd) => {
      if (error === null && isGone) fs.close(fd)
      resume(error === null ? Effect.succeed(fd) : Effect.fail(onError(error)))
    })
    return Effect.sync(() => {
      isGone = true
      fs.open(path, fs.constants.O_WRONLY | fs.constants.O_NONBLOCK, (error, fd) => {
        if (error === null) fs.close(fd)
      })
    })
  })

/** Reads a named pipe or `<(…)`. Node's file streams block a thread until data arrives, which keeps the process from exiting. */
export function readNamed<E>(path: string, onError: (error: unknown) => E): Stream.Stream<Uint8Array, E> {
  return Stream.unwrap(
    Effect.map(openReadable(path, onError), (fd) =>
      NodeStream.fromReadable<Uint8Array, E>({ evaluate: () => new net.Socket({ fd, writable: false }), onError })
    )
  )
}

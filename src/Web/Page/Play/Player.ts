/** Plays an audio file from any of its samples, also while it grows: PCM in ranges, one after the other on the audio clock. */
import { find } from "../List/List.ts"
import * as Model from "../Model.ts"
import { pause } from "../Pause.ts"
import { askBytes, brokeOff, isAbort, Refused, Unreachable, wordsFor } from "../Server.ts"
import { Store } from "../Store.ts"

export interface Track {
  readonly conversation: string
  readonly file: string
  readonly sampleRate: number
}

export interface Playing {
  readonly track: Track | undefined
  readonly state: "paused" | "loading" | "playing"
  /** Seconds from the file's start. */
  readonly position: number
  /** Seconds of it that were fetched. */
  readonly end: number
  readonly words: string
}

/** Scheduled and not yet heard. */
const aheadSeconds = 8
/** The first piece is small, so that sound starts at once; each next one is twice as long. */
const firstSeconds = 0.25
const longestSeconds = 4
/** From now to the first sample: the time that scheduling takes. */
const leadSeconds = 0.03
const liveMillis = 250
const retryMillis = 1_000
/** How often it tries again when the server does not answer, or is busy. */
const maxRetries = 300
/** And when it breaks off: what can't be read breaks off every time. */
const maxBroken = 5
const unreadable = new Error("This part of the audio can't be read: the server breaks off. Play it from another place.")
const waiting = "Waiting for the server …"
const shownMillis = 100
/** Tracks whose place is kept; beyond it, the one that was left first begins anew. */
const maxPlaces = 500
/** This close to its end a track has been heard. */
const endSeconds = 0.05

interface Scheduled {
  readonly node: AudioBufferSourceNode
  /** On the context's clock. */
  readonly at: number
  readonly from: number
  readonly samples: number
}

/** Of every track that is not played. */
export const idle: Playing = { track: undefined, state: "paused", position: 0, end: 0, words: "" }

const nameOf = ({ conversation, file }: Track) => `${conversation}/${file}`

/** More may come at its end. */
const isLive = ({ conversation }: Track): boolean => find(conversation)?.live ?? false

export function isSame(a: Track | undefined, b: Track): boolean {
  return a?.conversation === b.conversation && a.file === b.file
}

class Player {
  readonly state = new Store<Playing>(idle)
  #context: AudioContext | undefined
  #run = new AbortController()
  #scheduled: Array<Scheduled> = []
  readonly #places = new Map<string, number>()

  /** From `position` seconds on. */
  play(track: Track, position: number): void {
    this.#leave()
    const run = new AbortController()
    this.#run = run
    this.state.set({ track, state: "loading", position, end: 0, words: "" })
    this.#start(track, position, run.signal).catch((cause: unknown) => {
      if (run.signal.aborted || isAbort(cause)) return
      this.#halt()
      this.state.update({ state: "paused", words: wordsFor(cause) })
    })
  }

  pause(): void {
    const position = this.#position() ?? this.state.value.position
    this.#halt()
    this.state.update({ state: "paused", position })
  }

  /** Pauses it, or plays it from where it was left, and from the start when all of its `duration` was heard. */
  toggle(track: Track, duration: number): void {
    const { state, track: current } = this.state.value
    if (state !== "paused" && isSame(current, track)) return this.pause()
    const place = this.placeOf(track)
    this.play(track, place >= duration - endSeconds && !isLive(track) ? 0 : place)
  }

  /** Plays on from there when something is playing; else it is the place to begin at. */
  seek(track: Track, position: number): void {
    const { state, track: current } = this.state.value
    if (state !== "paused") return this.play(track, position)
    if (isSame(current, track)) return this.state.update({ position, words: "" })
    this.#keep(track, position)
    this.state.update({})
  }

  placeOf(track: Track): number {
    const { position, track: current } = this.state.value
    return isSame(current, track) ? position : (this.#places.get(nameOf(track)) ?? 0)
  }

  /** Nothing is played any more. */
  close(): void {
    this.#leave()
    this.state.set(idle)
  }

  #leave(): void {
    const { position, track } = this.state.value
    if (track !== undefined) this.#keep(track, this.#position() ?? position)
    this.#halt()
  }

  #keep(track: Track, position: number): void {
    this.#places.delete(nameOf(track))
    this.#places.set(nameOf(track), position)
    const [oldest] = this.#places.keys()
    if (this.#places.size > maxPlaces && oldest !== undefined) this.#places.delete(oldest)
  }

  #halt(): void {
    this.#run.abort()
    for (const { node } of this.#scheduled.splice(0)) {
      node.stop()
      node.disconnect()
    }
  }

  /** A context at the file's own rate: pieces follow each other to the sample. */
  #contextAt(sampleRate: number): AudioContext {
    if (this.#context?.sampleRate === sampleRate) return this.#context
    void this.#context?.close()
    this.#context = new AudioContext({ sampleRate, latencyHint: "interactive" })
    return this.#context
  }

  #position(): number | undefined {
    const context = this.#context
    const now = context?.currentTime ?? 0
    const current = this.#scheduled.findLast(({ at }) => at <= now)
    if (context === undefined || current === undefined) return undefined
    const heard = Math.min(current.samples / context.sampleRate, now - current.at)
    return current.from / context.sampleRate + heard
  }

  #show(): void {
    const now = this.#context?.currentTime ?? 0
    const playing = this.#scheduled.some(
      ({ at, samples }) => at <= now && now < at + samples / (this.#context?.sampleRate ?? 1)
    )
    const position = this.#position() ?? this.state.value.position
    this.state.update({ position, state: playing ? "playing" : "loading" })
    const current = this.#scheduled.findLastIndex(({ at }) => at <= now)
    if (current > 0) this.#scheduled.splice(0, current)
  }

  async #start(track: Track, position: number, signal: AbortSignal): Promise<void> {
    const context = this.#contextAt(track.sampleRate)
    // A context that is closed meanwhile is not this run's any more.
    const resumed = context.resume().catch(() => {})
    const timer = setInterval(() => this.#show(), shownMillis)
    signal.addEventListener("abort", () => clearInterval(timer))
    let sample = Math.max(0, Math.floor(position * track.sampleRate))
    let seconds = firstSeconds
    let due = 0
    for (;;) {
      const pcm = await this.#fetchAgain(track, sample, Math.round(seconds * track.sampleRate), signal)
      await resumed
      if (signal.aborted) return
      if (pcm.length > 0) {
        due = this.#schedule(context, pcm, sample, Math.max(due, context.currentTime + leadSeconds))
        sample += pcm.length
        this.state.update({ end: sample / track.sampleRate })
        seconds = Math.min(longestSeconds, seconds * 2)
        while (due - context.currentTime > aheadSeconds && !signal.aborted) await pause(liveMillis, signal)
      } else if (isLive(track)) await pause(liveMillis, signal)
      else break
    }
    while (due > context.currentTime && !signal.aborted) {
      await pause(Math.max(shownMillis, (due - context.currentTime) * 1000), signal)
    }
    if (signal.aborted) return
    this.#halt()
    this.state.update({ state: "paused", position: sample / track.sampleRate })
  }

  /** Waits for a server that is away or busy. */
  async #fetchAgain(track: Track, from: number, samples: number, signal: AbortSignal): Promise<Int16Array> {
    for (let [retries, broken] = [0, 0]; ; retries++) {
      try {
        const pcm = await this.#fetch(track, from, samples, signal)
        if (this.state.value.words !== "") this.state.update({ words: "" })
        return pcm
      } catch (cause) {
        if (cause === brokeOff && ++broken > maxBroken) throw unreadable
        const passes = cause instanceof Unreachable || (cause instanceof Refused && [429, 503].includes(cause.status))
        if (!passes || retries >= maxRetries) throw cause
        // Why it does not answer is said in one place, for all of the page.
        if (!signal.aborted) this.state.update({ words: cause instanceof Unreachable ? waiting : wordsFor(cause) })
        await pause(retryMillis, signal)
        signal.throwIfAborted()
      }
    }
  }

  /** Empty when there is no such sample yet. */
  async #fetch(track: Track, from: number, samples: number, signal: AbortSignal): Promise<Int16Array> {
    // From the sample before, which is there: at the end of a live one there is an answer, not an error.
    const before = Math.min(1, from)
    const range = `bytes=${2 * (from - before)}-${2 * (from + samples) - 1}`
    const path = `${Model.audioPath(track.conversation, track.file)}?format=pcm`
    const bytes = await askBytes(path, range, signal)
    return new Int16Array(bytes, 0, bytes.byteLength >> 1).subarray(before)
  }

  /** Answers when the piece ends. */
  #schedule(context: AudioContext, pcm: Int16Array, from: number, at: number): number {
    const buffer = context.createBuffer(1, pcm.length, context.sampleRate)
    buffer.copyToChannel(
      Float32Array.from(pcm, (sample) => sample / 32_768),
      0
    )
    const node = context.createBufferSource()
    node.buffer = buffer
    node.connect(context.destination)
    // On a whole sample, so that pieces meet without a click.
    const start = Math.ceil(at * context.sampleRate - 1e-6) / context.sampleRate
    node.start(start)
    this.#scheduled.push({ node, at: start, from, samples: pcm.length })
    return start + pcm.length / context.sampleRate
  }
}

export const player = new Player()

/** Plays an audio file from any position, also while it grows: fetches ranges of PCM and schedules them on the audio clock. */
import { find } from "../List/List.ts"
import * as Model from "../Model.ts"
import { pause } from "../Pause.ts"
import { fetchBytes, connectionBroke, isAbort, Refused, Unreachable, messageFor } from "../Server.ts"
import { Store } from "../Store.ts"

export interface Track {
  readonly conversation: string
  readonly file: string
  readonly sampleRate: number
}

export interface Playing {
  readonly track: Track | undefined
  readonly state: "paused" | "loading" | "playing"
  /** Playback position, seconds from the file's start. */
  readonly position: number
  /** Seconds fetched so far, from the file's start. */
  readonly end: number
  readonly message: string
}

/** Audio scheduled ahead of the playback position. */
const aheadSeconds = 8
/** Lengths of the fetched pieces: the first is short so that sound starts at once, then they double. */
const firstSeconds = 0.25
const longestSeconds = 4
/** Delay of the first sample, which covers the time for scheduling. */
const leadSeconds = 0.03
const liveMillis = 250
const retryMillis = 1_000
/** Retries while the server is unreachable or busy. */
const maxRetries = 300
/** Retries after an aborted response: unreadable audio aborts every time. */
const maxBroken = 5
const unreadable = new Error("This part of the audio can't be read. Play from another position.")
const waiting = "Waiting for the server …"
const shownMillis = 100
/** Positions of tracks that are remembered; beyond this, the oldest is dropped. */
const maxPositions = 500
/** A track stopped this close to its end restarts from the beginning. */
const endSeconds = 0.05

interface Scheduled {
  readonly node: AudioBufferSourceNode
  /** Seconds on the audio context's clock. */
  readonly at: number
  readonly from: number
  readonly samples: number
}

/** State of every other track. */
export const idle: Playing = { track: undefined, state: "paused", position: 0, end: 0, message: "" }

const nameOf = ({ conversation, file }: Track) => `${conversation}/${file}`

const isLive = ({ conversation }: Track): boolean => find(conversation)?.live ?? false

export function isSame(a: Track | undefined, b: Track): boolean {
  return a?.conversation === b.conversation && a.file === b.file
}

class Player {
  readonly state = new Store<Playing>(idle)
  #context: AudioContext | undefined
  #run = new AbortController()
  #scheduled: Array<Scheduled> = []
  readonly #positions = new Map<string, number>()

  play(track: Track, position: number): void {
    this.#leave()
    const run = new AbortController()
    this.#run = run
    this.state.set({ track, state: "loading", position, end: 0, message: "" })
    this.#start(track, position, run.signal).catch((cause: unknown) => {
      if (run.signal.aborted || isAbort(cause)) return
      this.#halt()
      this.state.update({ state: "paused", message: messageFor(cause) })
    })
  }

  pause(): void {
    const position = this.#position() ?? this.state.value.position
    this.#halt()
    this.state.update({ state: "paused", position })
  }

  /** Pauses the track, or resumes it at its last position; a track played to its `duration` restarts. */
  toggle(track: Track, duration: number): void {
    const { state, track: current } = this.state.value
    if (state !== "paused" && isSame(current, track)) return this.pause()
    const place = this.positionOf(track)
    this.play(track, place >= duration - endSeconds && !isLive(track) ? 0 : place)
  }

  /** Moves the track's position. If anything is playing, the track plays from there. */
  seek(track: Track, position: number): void {
    const { state, track: current } = this.state.value
    if (state !== "paused") return this.play(track, position)
    if (isSame(current, track)) return this.state.update({ position, message: "" })
    this.#remember(track, position)
    this.state.update({})
  }

  positionOf(track: Track): number {
    const { position, track: current } = this.state.value
    return isSame(current, track) ? position : (this.#positions.get(nameOf(track)) ?? 0)
  }

  close(): void {
    this.#leave()
    this.state.set(idle)
  }

  #leave(): void {
    const { position, track } = this.state.value
    if (track !== undefined) this.#remember(track, this.#position() ?? position)
    this.#halt()
  }

  #remember(track: Track, position: number): void {
    this.#positions.delete(nameOf(track))
    this.#positions.set(nameOf(track), position)
    const [oldest] = this.#positions.keys()
    if (this.#positions.size > maxPositions && oldest !== undefined) this.#positions.delete(oldest)
  }

  #halt(): void {
    this.#run.abort()
    for (const { node } of this.#scheduled.splice(0)) {
      node.stop()
      node.disconnect()
    }
  }

  /** A context at the file's own rate, so that pieces join without resampling. */
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
    // `stop` can close the context and start another run during the wait.
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

  /** Retries while the server is unreachable or busy. */
  async #fetchAgain(track: Track, from: number, samples: number, signal: AbortSignal): Promise<Int16Array> {
    for (let [retries, broken] = [0, 0]; ; retries++) {
      try {
        const pcm = await this.#fetch(track, from, samples, signal)
        if (this.state.value.message !== "") this.state.update({ message: "" })
        return pcm
      } catch (cause) {
        if (cause === connectionBroke && ++broken > maxBroken) throw unreadable
        const isTransient =
          cause instanceof Unreachable || (cause instanceof Refused && [429, 503].includes(cause.status))
        if (!isTransient || retries >= maxRetries) throw cause
        // The banner tells why the server is unreachable.
        if (!signal.aborted) this.state.update({ message: cause instanceof Unreachable ? waiting : messageFor(cause) })
        await pause(retryMillis, signal)
        signal.throwIfAborted()
      }
    }
  }

  /** Fetches PCM from a sample on; empty if the file does not reach it yet. */
  async #fetch(track: Track, from: number, samples: number, signal: AbortSignal): Promise<Int16Array> {
    // Includes the preceding sample, which exists: at the end of a growing file the response is not an error.
    const before = Math.min(1, from)
    const range = `bytes=${2 * (from - before)}-${2 * (from + samples) - 1}`
    const path = `${Model.audioPath(track.conversation, track.file)}?format=pcm`
    const bytes = await fetchBytes(path, range, signal)
    return new Int16Array(bytes, 0, bytes.byteLength >> 1).subarray(before)
  }

  /** Schedules a piece and returns the time at which it ends. */
  #schedule(context: AudioContext, pcm: Int16Array, from: number, at: number): number {
    const buffer = context.createBuffer(1, pcm.length, context.sampleRate)
    buffer.copyToChannel(
      Float32Array.from(pcm, (sample) => sample / 32_768),
      0
    )
    const node = context.createBufferSource()
    node.buffer = buffer
    node.connect(context.destination)
    // Rounded to whole samples, so that pieces join without a click.
    const start = Math.ceil(at * context.sampleRate - 1e-6) / context.sampleRate
    node.start(start)
    this.#scheduled.push({ node, at: start, from, samples: pcm.length })
    return start + pcm.length / context.sampleRate
  }
}

export const player = new Player()

/** Plays an audio file from any position, also while it grows, and then the next one of its conversation. */
import { pause } from "../Pause.ts"
import { isAbort, messageFor } from "../Server.ts"
import { Store } from "../Store.ts"
import { feed } from "./Feed.ts"
import { Output } from "./Output.ts"
import { speed } from "./Speed.ts"
import { fileOf, isGrowing, isSame, neighbour, type Track, trackOf } from "./Track.ts"

export interface Playing {
  readonly track: Track | undefined
  /** Before the next track begins it is `loading`. */
  readonly state: "paused" | "loading" | "playing"
  /** Playback position, seconds from the file's start. */
  readonly position: number
  /** Seconds fetched so far, from the file's start. */
  readonly end: number
  readonly next: Track | undefined
  readonly message: string
}

const shownMillis = 100
export const nextSeconds = 4
/** Positions of tracks that are remembered; beyond this, the oldest is dropped. */
const maxPositions = 500
/** A track stopped this close to its end restarts from the beginning. */
const endSeconds = 0.05

/** State of every other track. */
export const idle: Playing = { track: undefined, state: "paused", position: 0, end: 0, next: undefined, message: "" }

const nameOf = ({ conversation, file }: Track) => `${conversation}/${file}`

class Player {
  readonly state = new Store<Playing>(idle)
  readonly #output = new Output()
  #run = new AbortController()
  readonly #positions = new Map<string, number>()

  play(track: Track, position: number): void {
    this.#leave()
    const run = new AbortController()
    this.#run = run
    this.state.set({ ...idle, track, state: "loading", position })
    this.#start(track, position, run.signal).catch((cause: unknown) => {
      if (run.signal.aborted || isAbort(cause)) return
      this.#halt()
      this.state.update({ state: "paused", message: messageFor(cause) })
    })
  }

  pause(): void {
    const position = this.#output.position ?? this.state.value.position
    this.#halt()
    this.state.update({ state: "paused", position, next: undefined })
  }

  /** Pauses the track, or resumes it at its last position; a track played to its `duration` restarts. */
  toggle(track: Track, duration: number): void {
    const { state, track: current } = this.state.value
    if (state !== "paused" && isSame(current, track)) return this.pause()
    const place = this.positionOf(track)
    this.play(track, place >= duration - endSeconds && !isGrowing(track) ? 0 : place)
  }

  /** Moves the track's position. If anything is playing, the track plays from there. */
  seek(track: Track, position: number): void {
    const { state, track: current } = this.state.value
    if (state !== "paused") return this.play(track, position)
    if (isSame(current, track)) return this.state.update({ position, message: "" })
    this.#remember(track, position)
    this.state.update({})
  }

  skip(by: -1 | 1): void {
    const { track } = this.state.value
    const file = track && neighbour(track, by)
    if (file !== undefined) this.play(trackOf({ id: track?.conversation ?? "" }, file), 0)
  }

  setSpeed(value: number): void {
    if (value === speed.value) return
    speed.set(value)
    const { next, position, state, track } = this.state.value
    if (track !== undefined && state !== "paused" && next === undefined) {
      this.play(track, this.#output.position ?? position)
    }
  }

  positionOf(track: Track): number {
    const { position, track: current } = this.state.value
    return isSame(current, track) ? position : (this.#positions.get(nameOf(track)) ?? 0)
  }

  /** Length of the present track as far as it is known, seconds. */
  get duration(): number {
    const { end, track } = this.state.value
    return Math.max(end, (track && fileOf(track)?.duration) ?? 0)
  }

  close(): void {
    this.#leave()
    this.state.set(idle)
  }

  #leave(): void {
    const { position, track } = this.state.value
    if (track !== undefined) this.#remember(track, this.#output.position ?? position)
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
    this.#output.clear()
  }

  #show(): void {
    const position = this.#output.position ?? this.state.value.position
    this.state.update({ position, state: this.#output.isSounding ? "playing" : "loading" })
  }

  async #start(track: Track, position: number, signal: AbortSignal): Promise<void> {
    const timer = setInterval(() => this.#show(), shownMillis)
    signal.addEventListener("abort", () => clearInterval(timer))
    const end = await feed(this.#output, track, position, {
      signal,
      tell: (message) => this.state.update({ message }),
      reach: (end) => this.state.update({ end })
    })
    if (signal.aborted) return
    clearInterval(timer)
    this.#output.clear()
    const following = neighbour(track, 1)
    if (following === undefined) return this.state.update({ state: "paused", position: end })
    const next = trackOf({ id: track.conversation }, following)
    this.state.update({ state: "loading", position: end, next })
    await pause(nextSeconds * 1_000, signal)
    if (!signal.aborted) this.play(next, 0)
  }
}

export const player = new Player()

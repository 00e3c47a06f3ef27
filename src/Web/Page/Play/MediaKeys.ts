/**
 * Connects the player with media keys and lock screens. Not every browser offers them to a page without a media element, so
 * one plays while the player plays. Its audio lasts longer than that of notifications (5 s), and is too quiet to be heard.
 */
import { find } from "../List/List.ts"
import { titleOf } from "../List/Title.ts"
import { date } from "../Format.ts"
import { player, type Playing } from "./Player.ts"
import { speed } from "./Speed.ts"
import { fileOf, neighbour, type Track } from "./Track.ts"

const quietSeconds = 10
const quietRate = 8_000
const stepSeconds = 10
/** A position that differs by less from the one that the browser extrapolates is not reported. */
const toleratedSeconds = 0.5

/** A WAV file. Silence does not count as audio everywhere, and a constant sample of 1 is heard nowhere. */
const quiet = (): Blob => {
  const samples = new Int16Array(quietSeconds * quietRate).fill(1)
  const head = new DataView(new ArrayBuffer(44))
  const texts = [
    [0, "RIFF"],
    [8, "WAVEfmt "],
    [36, "data"]
  ] as const
  for (const [at, text] of texts) {
    for (const [index, letter] of [...text].entries()) head.setUint8(at + index, letter.charCodeAt(0))
  }
  head.setUint32(4, 36 + samples.byteLength, true)
  head.setUint32(16, 16, true)
  head.setUint16(20, 1, true)
  head.setUint16(22, 1, true)
  head.setUint32(24, quietRate, true)
  head.setUint32(28, 2 * quietRate, true)
  head.setUint16(32, 2, true)
  head.setUint16(34, 16, true)
  head.setUint32(40, samples.byteLength, true)
  return new Blob([head, samples], { type: "audio/wav" })
}

const metadataOf = (track: Track): MediaMetadata => {
  const conversation = find(track.conversation)
  const file = fileOf(track)
  const icon = document.querySelector<HTMLLinkElement>("link[rel=icon]")?.href
  return new MediaMetadata({
    title: conversation === undefined ? track.conversation : titleOf(conversation),
    artist: file === undefined ? "" : date(file.started_at),
    album: "Spillway",
    artwork: icon === undefined ? [] : [{ src: icon, sizes: "any", type: "image/svg+xml" }]
  })
}

const seek = (position: number) => {
  const { track } = player.state.value
  if (track !== undefined) player.seek(track, Math.max(0, Math.min(player.duration, position)))
}

const move = (seconds: number) => seek(player.state.value.position + seconds)

const toggle = () => {
  const { track } = player.state.value
  if (track !== undefined) player.toggle(track, player.duration)
}

const handlers: ReadonlyArray<readonly [MediaSessionAction, MediaSessionActionHandler]> = [
  ["play", () => player.state.value.state === "paused" && toggle()],
  ["pause", () => player.pause()],
  ["stop", () => player.close()],
  ["seekbackward", ({ seekOffset }) => move(-(seekOffset ?? stepSeconds))],
  ["seekforward", ({ seekOffset }) => move(seekOffset ?? stepSeconds)],
  ["seekto", ({ seekTime }) => seekTime !== undefined && seek(seekTime)]
]

const setHandler = (action: MediaSessionAction, handler: MediaSessionActionHandler | null) => {
  try {
    navigator.mediaSession.setActionHandler(action, handler)
  } catch {
    // The browser does not know the action.
  }
}

interface Reported {
  readonly position: number
  readonly duration: number
  readonly rate: number
  readonly at: number
}

class MediaKeys {
  readonly #element = new Audio(URL.createObjectURL(quiet()))
  #track: Track | undefined
  #reported: Reported | undefined

  constructor() {
    this.#element.loop = true
    // A telephone call, or headphones that are unplugged.
    this.#element.addEventListener("pause", () => player.state.value.state !== "paused" && player.pause())
  }

  show(playing: Playing): void {
    const { mediaSession } = navigator
    const { state, track } = playing
    if (track !== this.#track) {
      this.#track = track
      this.#reported = undefined
      mediaSession.metadata = track === undefined ? null : metadataOf(track)
      for (const [action, handler] of handlers) setHandler(action, track === undefined ? null : handler)
    }
    for (const [action, by] of [
      ["previoustrack", -1],
      ["nexttrack", 1]
    ] as const) {
      setHandler(action, track !== undefined && neighbour(track, by) !== undefined ? () => player.skip(by) : null)
    }
    mediaSession.playbackState = track === undefined ? "none" : state === "paused" ? "paused" : "playing"
    if (track !== undefined) this.#report(playing)
    if (state === "paused") this.#element.pause()
    else if (this.#element.paused) void this.#element.play().catch(() => {})
  }

  #report({ position, state }: Playing): void {
    const { duration } = player
    const rate = state === "playing" ? speed.value : 0
    const at = performance.now() / 1_000
    const last = this.#reported
    const isExpected =
      last !== undefined &&
      last.rate === rate &&
      Math.abs(last.duration - duration) < toleratedSeconds &&
      Math.abs(last.position + (at - last.at) * rate - position) < toleratedSeconds
    if (isExpected) return
    this.#reported = { position, duration, rate, at }
    navigator.mediaSession.setPositionState({
      duration,
      position: Math.min(position, duration),
      playbackRate: speed.value
    })
  }
}

export function connectMediaKeys(): (() => void) | undefined {
  if (!("mediaSession" in navigator)) return undefined
  const keys = new MediaKeys()
  return player.state.watch(() => keys.show(player.state.value))
}

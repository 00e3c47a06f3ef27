/** Fetches the waveforms of a conversation: repeatedly while it is live, and only while it is visible. */
import type { RefObject } from "preact"
import { useEffect, useState } from "preact/hooks"
import { find } from "../List/List.ts"
import * as Model from "../Model.ts"
import { pause } from "../Pause.ts"
import { fetchJson, isAbort, Refused } from "../Server.ts"

/** Points of the longest audio file. */
const maxPoints = 1_200
/** The server's bound on the points of a response. */
const maxRequested = 10_000
/** Resolution of the server's waveforms; more points would repeat. */
const pointsPerSecond = 10
const liveMillis = 1_500

/** Hidden tabs and elements outside the viewport don't fetch. */
export function isSeen(element: Element | null): boolean {
  if (element === null || document.hidden) return false
  const { bottom, top, width } = element.getBoundingClientRect()
  return width > 0 && bottom > 0 && top < window.innerHeight
}

/** The server distributes the points over the audio files by duration. */
const pointsOf = (id: string): number => {
  const { audio_files = [], captured_duration = 0 } = find(id) ?? {}
  const longest = Math.max(1, ...audio_files.map(({ duration }) => duration))
  const ofLongest = Math.min(maxPoints, Math.ceil(longest * pointsPerSecond))
  return Math.min(maxRequested, Math.ceil(ofLongest * Math.max(1, captured_duration / longest)))
}

const fetchWaveforms = async (
  id: string,
  before: string | undefined,
  signal?: AbortSignal
): Promise<ReadonlyArray<Model.FileWaveform>> => {
  const page = before === undefined ? "" : `&files_before=${encodeURIComponent(before)}`
  const path = `${Model.pathOf(id)}/waveform?points=${pointsOf(id)}${page}`
  return (await fetchJson(Model.waveform, path, signal)).audio_files
}

/** `cursors`: pages of earlier audio files, each fetched once. */
export function useWaveforms(
  conversation: Model.Conversation,
  place: RefObject<HTMLElement | null>,
  cursors: ReadonlyArray<string>
): ReadonlyMap<string, Model.FileWaveform> {
  const [files, setFiles] = useState<ReadonlyMap<string, Model.FileWaveform>>(new Map())
  const add = (more: ReadonlyArray<Model.FileWaveform>) =>
    setFiles((files) => new Map([...files, ...more.map((file) => [file.id, file] as const)]))
  const { captured_duration, id, live } = conversation
  const before = cursors.at(-1)
  useEffect(() => {
    if (before !== undefined) fetchWaveforms(id, before).then(add, () => {})
  }, [id, before])
  useEffect(() => {
    const stop = new AbortController()
    const draw = async () => {
      let isDrawn = false
      while (!stop.signal.aborted) {
        if (isSeen(place.current)) {
          try {
            add(await fetchWaveforms(id, undefined, stop.signal))
            isDrawn = !live
          } catch (cause) {
            if (isAbort(cause) || cause instanceof Refused) return
          }
        }
        if (isDrawn) return
        await pause(liveMillis, stop.signal)
      }
    }
    void draw()
    return () => stop.abort()
  }, [id, live, live ? 0 : captured_duration])
  return files
}

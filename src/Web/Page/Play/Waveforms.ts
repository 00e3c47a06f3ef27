/** Fetches the waveforms of a conversation: repeatedly while it is live, and only while it is visible. */
import type { RefObject } from "preact"
import { useEffect, useState } from "preact/hooks"
import { find } from "../List/List.ts"
import * as Model from "../Model.ts"
import { pause } from "../Pause.ts"
import { askJson, isAbort, Refused } from "../Server.ts"

const maxPoints = 1_200
/** Resolution of the server's waveforms; more points would repeat. */
const pointsPerSecond = 10
const liveMillis = 1_500

/** Hidden tabs and elements outside the viewport don't fetch. */
const isSeen = (element: Element | null): boolean => {
  if (element === null || document.hidden) return false
  const { bottom, top, width } = element.getBoundingClientRect()
  return width > 0 && bottom > 0 && top < window.innerHeight
}

const pointsOf = (id: string): number => {
  const longest = Math.max(1, ...(find(id)?.audio_files ?? []).map(({ duration }) => duration))
  return Math.min(maxPoints, Math.ceil(longest * pointsPerSecond))
}

export function useWaveforms(
  conversation: Model.Conversation,
  place: RefObject<HTMLElement | null>
): ReadonlyMap<string, Model.FileWaveform> {
  const [files, setFiles] = useState<ReadonlyMap<string, Model.FileWaveform>>(new Map())
  const { captured_duration, id, live } = conversation
  useEffect(() => {
    const stop = new AbortController()
    const draw = async () => {
      let isDrawn = false
      while (!stop.signal.aborted) {
        if (isSeen(place.current)) {
          try {
            const path = `${Model.pathOf(id)}/waveform?points=${pointsOf(id)}`
            const { audio_files } = await askJson(Model.waveform, path, stop.signal)
            setFiles(new Map(audio_files.map((file) => [file.id, file])))
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

/** The waveforms of a conversation's audio files: again and again while it is live, and only while it is seen. */
import type { RefObject } from "preact"
import { useEffect, useState } from "preact/hooks"
import { find } from "../List/List.ts"
import * as Model from "../Model.ts"
import { pause } from "../Pause.ts"
import { askJson, isAbort, Refused } from "../Server.ts"

const maxPoints = 1_200
/** The server keeps so many of each second; more would say the same twice. */
const pointsPerSecond = 10
const liveMillis = 1_500

/** What nobody sees is not asked for. */
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

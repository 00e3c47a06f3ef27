/** Fetches the transcript of a conversation: a page at a time, and the end repeatedly while it is live and visible. */
import type { RefObject } from "preact"
import { useEffect, useRef, useState } from "preact/hooks"
import * as Model from "../Model.ts"
import { pause } from "../Pause.ts"
import { fetchJson, isAbort, Refused } from "../Server.ts"
import { isSeen } from "./Waveforms.ts"

const pageSegments = 100
/** Segments that are shown; beyond this, the earliest ones are removed. */
const maxSegments = 1_000
const liveMillis = 1_500
/** While a conversation is live, segments from this long before the last one on can still change. */
const settledSeconds = 60
/** A live conversation is shown from this long before its end. */
const liveSeconds = 300

interface Shown {
  readonly segments: ReadonlyArray<Model.Segment>
  /** Position from which on they are shown, in seconds. */
  readonly from: number
  readonly next: string | null
}

const nothing: Shown = { segments: [], from: 0, next: null }

const merged = (known: Shown["segments"], more: Shown["segments"]): Shown["segments"] => {
  const byId = new Map([...known, ...more].map((segment) => [segment.id, segment]))
  return [...byId.values()].sort((a, b) => a.start - b.start).slice(-maxSegments)
}

export interface Transcript extends Shown {
  /** Adds the next page. */
  readonly more: () => void
  /** Shows the segments from a position on, in seconds. */
  readonly showFrom: (from: number) => void
}

/** Failures are ignored: the waveforms of the same conversation report them. */
export function useTranscript(
  { duration, id, live }: Model.Conversation,
  place: RefObject<HTMLElement | null>
): Transcript {
  const [shown, setShown] = useState(nothing)
  const latest = useRef(shown)
  latest.current = shown
  const isLoading = useRef(false)

  const fetchPage = (query: string, signal?: AbortSignal) =>
    fetchJson(Model.transcript, `${Model.pathOf(id)}/transcript?limit=${pageSegments}&${query}`, signal)

  const load = async (query: string, change: (page: Pick<Shown, "segments" | "next">) => Shown) => {
    if (isLoading.current) return
    isLoading.current = true
    try {
      setShown(change(await fetchPage(query)))
    } catch {
      // The next position or press tries again.
    } finally {
      isLoading.current = false
    }
  }

  useEffect(() => {
    const stop = new AbortController()
    const refresh = async () => {
      const { next, segments } = latest.current
      const last = segments.at(-1)
      if (next !== null && !live) return
      const first = live ? Math.max(0, Math.floor(duration) - liveSeconds) : 0
      const from = last === undefined ? first : Math.max(latest.current.from, last.start - settledSeconds)
      const page = await fetchPage(next === null ? `from=${from}` : `after=${encodeURIComponent(next)}`, stop.signal)
      // The segments that are shown can be others by now.
      if (page.segments.length === 0 || stop.signal.aborted || latest.current.segments !== segments) return
      setShown((shown) => ({
        from: last === undefined ? first : shown.from,
        segments: merged(segments, page.segments),
        next: page.next
      }))
    }
    const follow = async () => {
      let isRead = false
      while (!stop.signal.aborted) {
        if (isSeen(place.current)) {
          try {
            await refresh()
            isRead = !live
          } catch (cause) {
            if (isAbort(cause) || cause instanceof Refused) return
          }
        }
        if (isRead) return
        await pause(liveMillis, stop.signal)
      }
    }
    void follow()
    return () => stop.abort()
  }, [id, live])

  return {
    ...shown,
    more: () => {
      const { from, next } = shown
      if (next === null) return
      void load(`after=${encodeURIComponent(next)}`, (page) => ({
        from,
        segments: merged(latest.current.segments, page.segments),
        next: page.next
      }))
    },
    showFrom: (from) => void load(`from=${from}`, (page) => ({ ...page, from }))
  }
}

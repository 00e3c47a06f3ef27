/** The transcript of a conversation. The segment that plays is highlighted, and a click on a segment moves the position to it. */
import type { RefObject } from "preact"
import { useEffect, useRef } from "preact/hooks"
import { clock } from "../Format.ts"
import { titleOf } from "../List/Title.ts"
import type * as Model from "../Model.ts"
import { useSelected } from "../Store.ts"
import { player } from "./Player.ts"
import { fileOf, trackOf } from "./Track.ts"
import { useTranscript } from "./Transcripts.ts"

/** What is shown begins this long before the position that playback has reached, in seconds. */
const leadSeconds = 30

/** How long a segment stays highlighted after its end, in seconds. */
const restSeconds = 2

const startOf = ({ started_at }: { readonly started_at: string | null }): number => Date.parse(started_at ?? "") / 1_000

/** Position of the player in the conversation, in seconds from its start; undefined while it plays another one. */
const positionIn = (conversation: Model.Conversation): number | undefined => {
  const { position, track } = player.state.value
  const file = track?.conversation === conversation.id ? fileOf(track) : undefined
  return file === undefined ? undefined : startOf(file) + position - startOf(conversation)
}

const segmentAt = (segments: ReadonlyArray<Model.Segment>, position: number | undefined): Model.Segment | undefined => {
  if (position === undefined) return undefined
  const last = segments.findLast(({ start }) => start <= position)
  return last?.end !== undefined && position > last.end + restSeconds ? undefined : last
}

const seek = (conversation: Model.Conversation, files: ReadonlyArray<Model.AudioFile>, seconds: number) => {
  const at = startOf(conversation) + seconds
  const file = files.findLast((each) => startOf(each) <= at) ?? files[0]
  if (file === undefined) return
  player.seek(trackOf(conversation, file), Math.max(0, Math.min(file.duration, at - startOf(file))))
}

const speakerOf = ({ is_user, speaker }: Model.Segment): string => (is_user === true ? "You" : (speaker ?? ""))

export function Transcript(props: {
  readonly conversation: Model.Conversation
  readonly files: ReadonlyArray<Model.AudioFile>
  readonly place: RefObject<HTMLElement | null>
}) {
  const { conversation, files, place } = props
  const { from, more, next, segments, showFrom } = useTranscript(conversation, place)
  const list = useRef<HTMLOListElement>(null)
  const current = useSelected(player.state, () => segmentAt(segments, positionIn(conversation))?.id)
  /** A position that playback has reached outside of the segments that are shown. */
  const missing = useSelected(player.state, () => {
    const position = player.state.value.state === "paused" ? undefined : positionIn(conversation)
    const last = segments.at(-1)
    if (position === undefined || last === undefined) return undefined
    const isOutside = (next !== null && position > last.start) || position < from
    return isOutside ? Math.max(0, Math.floor(position) - leadSeconds) : undefined
  })
  useEffect(() => {
    if (missing !== undefined) showFrom(missing)
  }, [missing])
  useEffect(() => {
    const item = list.current?.querySelector<HTMLElement>("[aria-current]")
    if (list.current === null || item === null || item === undefined) return
    const top = item.offsetTop - list.current.offsetTop
    const { clientHeight, scrollTop } = list.current
    if (top < scrollTop || top + item.offsetHeight > scrollTop + clientHeight) list.current.scrollTop = top
  }, [current])
  if (segments.length === 0) return null
  const title = titleOf(conversation)
  return (
    <section class="transcript" aria-label={`Transcript of ${title}`}>
      <h5>Transcript</h5>
      {from > 0 && (
        <button type="button" class="quiet" onClick={() => showFrom(0)}>
          From the start
        </button>
      )}
      <ol ref={list} aria-live={conversation.live ? "polite" : "off"}>
        {segments.map((segment) => (
          <li key={segment.id}>
            <button
              type="button"
              class="segment"
              disabled={files.length === 0}
              aria-current={segment.id === current ? "true" : undefined}
              onClick={() => seek(conversation, files, segment.start)}
            >
              <span class="number">{clock(segment.start)}</span>
              {speakerOf(segment) !== "" && <strong>{speakerOf(segment)}</strong>}
              <span>{segment.text ?? ""}</span>
            </button>
          </li>
        ))}
      </ol>
      {next !== null && (
        <button type="button" class="quiet" onClick={more}>
          Show more of the transcript
        </button>
      )}
    </section>
  )
}

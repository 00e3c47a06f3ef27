/** The audio files of a conversation: the latest ones, and earlier ones on demand. */
import { useRef, useState } from "preact/hooks"
import { DownloadButtons } from "./Downloads.tsx"
import { FileRow } from "./FileRow.tsx"
import { remember } from "./KnownFiles.ts"
import { MergedCopies } from "./MergedCopies.tsx"
import * as Model from "../Model.ts"
import { Transcript } from "../Play/Transcript.tsx"
import { useWaveforms } from "../Play/Waveforms.ts"
import { fetchJson, messageFor } from "../Server.ts"
import { titleOf } from "./Title.ts"
import { count } from "../Format.ts"

/** Audio files that are shown at first, and that are added at once. */
const step = 50
/** Most audio files that are shown. All of them can be fetched with the command line. */
const maxFiles = 2_000

/** The audio files known so far by start, and how to show more of them. */
const useFiles = ({ audio_files: latest, files_next: latestNext, id }: Model.Conversation) => {
  /** Loaded pages, and what was the latest before newer files took its place. */
  const known = useRef(new Map<string, Model.AudioFile>())
  const [cursors, setCursors] = useState<ReadonlyArray<string>>([])
  const [next, setNext] = useState<string | null>()
  const [shown, setShown] = useState(step)
  const [isLoading, setLoading] = useState(false)
  const [message, setMessage] = useState("")

  for (const file of latest) known.current.set(file.id, file)
  const [first] = latest
  const earlier = [...known.current.values()].filter(({ started_at }) => started_at < (first?.started_at ?? ""))
  const files = [...earlier.sort((a, b) => (a.started_at < b.started_at ? -1 : 1)), ...latest]
  const before = next === undefined ? latestNext : next

  const more = async () => {
    if (before !== null && files.length < shown + step) {
      setLoading(true)
      try {
        const path = `${Model.pathOf(id)}?files_before=${encodeURIComponent(before)}`
        const page = await fetchJson(Model.conversation, path)
        for (const file of page.audio_files) known.current.set(file.id, file)
        remember(id, page.audio_files)
        setCursors([...cursors, before])
        setNext(page.files_next)
        setMessage("")
      } catch (cause) {
        setLoading(false)
        return setMessage(messageFor(cause))
      }
      setLoading(false)
    }
    setShown(Math.min(maxFiles, shown + step))
  }

  return {
    files: files.slice(-shown),
    /** Of how many they are the last, as text; undefined if these are all. */
    of:
      files.length > shown || before !== null
        ? `${before === null ? "" : "more than "}${count(files.length)}`
        : undefined,
    cursors,
    isFull: shown >= maxFiles,
    isLoading,
    message,
    more
  }
}

export function Files({ conversation }: { readonly conversation: Model.Conversation }) {
  const place = useRef<HTMLDivElement>(null)
  const { cursors, files, isFull, isLoading, message, more, of } = useFiles(conversation)
  const waveforms = useWaveforms(conversation, place, cursors)
  return (
    <div class="files" ref={place}>
      {files.length === 0 && <p class="hint">No audio is on disk yet.</p>}
      {of !== undefined && (
        <div class="row earlier">
          <p class="hint">
            The last {count(files.length)} of {of} audio files.{" "}
            {isFull && (
              <>
                All of them: <code>spillway fetch {conversation.id}</code>
              </>
            )}
          </p>
          {!isFull && (
            <button type="button" class="quiet" disabled={isLoading} onClick={() => void more()}>
              {isLoading ? "Loading …" : "Show earlier ones"}
            </button>
          )}
        </div>
      )}
      {message !== "" && (
        <p class="problem" role="alert">
          {message}
        </p>
      )}
      {files.map((file) => (
        <FileRow
          key={file.id}
          conversation={conversation}
          file={file}
          waveform={waveforms.get(file.id)}
          isOnly={files.length === 1}
          isLast={file.id === files.at(-1)?.id}
        />
      ))}
      <Transcript conversation={conversation} files={files} place={place} />
      {files.length > 1 && (
        <div class="row whole">
          <p class="hint">All of them as one file:</p>
          <DownloadButtons conversation={conversation.id} title={`All of ${titleOf(conversation)}`} />
        </div>
      )}
      {files.length > 0 && <MergedCopies conversation={conversation} />}
    </div>
  )
}

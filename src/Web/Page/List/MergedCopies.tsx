/** Whether the store has merged copies of a conversation's audio files, and a button that has them made. */
import { useEffect, useState } from "preact/hooks"
import * as Model from "../Model.ts"
import { change, fetchJson, isAbort, messageFor } from "../Server.ts"
import { count } from "../Format.ts"

/** Between two looks at copies that are being made. */
const pollMillis = 2_000
/** After a look that failed. */
const retryMillis = 10_000

const reasons: Readonly<Record<string, string>> = {
  chunks_missing: "audio is missing in the object store",
  merge_failed: "the server's log has the reason",
  empty_audio: "all of its audio was lost"
}

type Copies = Model.AudioUrls["audio_files"]

/** Of the latest 1,000 audio files; undefined until they are known. `asked` counts the requests to make them. */
const useCopies = ({ id, live }: Model.Conversation, asked: number): Copies | undefined => {
  const [copies, setCopies] = useState<Copies>()
  useEffect(() => {
    const closing = new AbortController()
    let timer: number | undefined
    const read = async () => {
      let pause: number | undefined
      try {
        const { audio_files: found } = await fetchJson(Model.audioUrls, Model.urlsPath(id), closing.signal)
        setCopies(found)
        if (found.some(({ artifact }) => artifact?.state === "merging")) pause = pollMillis
      } catch (cause) {
        if (isAbort(cause)) return
        pause = retryMillis
      }
      if (pause !== undefined) timer = window.setTimeout(() => void read(), pause)
    }
    // What is being recorded is merged when it has ended.
    if (!live) void read()
    return () => {
      closing.abort()
      clearTimeout(timer)
    }
  }, [id, live, asked])
  return live ? undefined : copies
}

const wordsFor = (copies: Copies, wasAsked: boolean): string => {
  const inState = (state: string | undefined) => copies.filter(({ artifact }) => artifact?.state === state)
  const [merged, merging, failed] = [inState("merged"), inState("merging"), inState("failed")]
  const of = (part: Copies) => (copies.length === 1 ? "" : `${count(part.length)} of ${count(copies.length)} `)
  const why = [...new Set(failed.map(({ artifact }) => reasons[artifact?.reason ?? ""] ?? "it can't be merged"))]
  const none = inState(undefined)
  return [
    merged.length > 0 && `${of(merged)}ready in the object store`,
    merging.length > 0 && `${of(merging)}being made`,
    failed.length > 0 && `${of(failed)}failed: ${why.join(", ")}`,
    none.length > 0 && wasAsked && `${of(none)}not made, because the audio is encrypted or has changed`,
    none.length === copies.length && !wasAsked && "none"
  ]
    .filter((words) => words !== false)
    .join(" · ")
}

export function MergedCopies({ conversation }: { readonly conversation: Model.Conversation }) {
  const [asked, setAsked] = useState(0)
  const [busy, setBusy] = useState(false)
  const [message, setMessage] = useState("")
  const copies = useCopies(conversation, asked)
  if (copies === undefined || copies.length === 0) return null
  const make = async () => {
    setBusy(true)
    setMessage("")
    await change("POST", Model.precachePath(conversation.id)).catch((cause: unknown) => setMessage(messageFor(cause)))
    setAsked(asked + 1)
    setBusy(false)
  }
  const isDone = copies.every(({ artifact }) => artifact?.state === "merged" || artifact?.state === "merging")
  return (
    <div class="row merged">
      <p class="hint" role="status">
        Merged {copies.length === 1 ? "copy" : "copies"}: {wordsFor(copies, asked > 0)}
      </p>
      {!isDone && (
        <button
          type="button"
          class="quiet"
          title="Downloads of a merged copy come from the object store, not through this server. It is deleted after 3 days."
          disabled={busy}
          onClick={() => void make()}
        >
          {copies.length === 1 ? "Make a merged copy" : "Make merged copies"}
        </button>
      )}
      {message !== "" && (
        <p class="problem failed" role="alert">
          {message}
        </p>
      )}
    </div>
  )
}

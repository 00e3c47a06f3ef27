/** Downloads by signed URLs, which are fetched at the click: they need no key, and end after an hour. */
import { useState } from "preact/hooks"
import * as Model from "../Model.ts"
import { fetchJson, messageFor, probe, resolveSigned } from "../Server.ts"

type Format = "wav" | "ogg"

/** Bound of the search for an audio file; a page has up to 1,000. */
const maxPages = 5

const reasons: Readonly<Record<string, string>> = {
  chunks_missing: "Part of its audio is missing or damaged in the object store. What can be read can be played here.",
  empty_audio: "All of its audio was lost."
}

/** Of an audio file, or of the whole conversation. */
const accessTo = async (conversation: string, file: string | undefined, format: Format) => {
  let before = ""
  for (let page = 0; page < maxPages; page++) {
    const found = await fetchJson(Model.audioUrls, `${Model.urlsPath(conversation)}?format=${format}${before}`)
    if (file === undefined) return found.conversation_audio
    const listed = found.audio_files.find(({ id }) => id === file)
    if (listed !== undefined || found.files_next === undefined) return listed
    before = `&files_before=${encodeURIComponent(found.files_next)}`
  }
  return undefined
}

export async function signedUrl(conversation: string, file: string | undefined, format: Format): Promise<URL> {
  const access = await accessTo(conversation, file, format)
  if (access?.signed_url !== undefined) return resolveSigned(access.signed_url)
  const reason = access?.reason === undefined ? undefined : reasons[access.reason]
  throw new Error(reason ?? "It can't be downloaded as one file. Download its audio files, or use: spillway fetch")
}

const download = async (conversation: string, file: string | undefined, format: Format): Promise<void> => {
  const url = await signedUrl(conversation, file, format)
  const link = document.createElement("a")
  link.href = url.href
  if (url.origin === location.origin) {
    // After the click only the browser would know what failed.
    await probe(url)
    link.download = ""
  } else link.target = "_blank"
  link.click()
}

export function DownloadButtons(props: {
  readonly conversation: string
  /** All audio files as one, if undefined. */
  readonly file?: string
  readonly title: string
  readonly size?: string
}) {
  const { conversation, file, size, title } = props
  const [busy, setBusy] = useState<Format>()
  const [message, setMessage] = useState("")
  const start = async (format: Format) => {
    setBusy(format)
    setMessage("")
    await download(conversation, file, format).catch((cause: unknown) => setMessage(messageFor(cause)))
    setBusy(undefined)
  }
  const button = (format: Format, words: string) => (
    <button
      type="button"
      class="quiet"
      aria-label={`${words}: ${title}`}
      disabled={busy !== undefined}
      onClick={() => void start(format)}
    >
      {busy === format ? "Preparing …" : words}
    </button>
  )
  return (
    <>
      {button("wav", size === undefined ? "Download WAV" : `Download WAV (${size})`)}
      {button("ogg", "Ogg")}
      {message !== "" && (
        <p class="problem failed" role="alert">
          {message}
        </p>
      )}
    </>
  )
}

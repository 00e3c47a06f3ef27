/** Records from the microphone and accepts files dropped on the page. */
import { useEffect, useRef, useState } from "preact/hooks"
import { isRecording, type Job, jobs, record, sendFile } from "./Recorder.ts"
import { SendingCard } from "./SendingCard.tsx"
import { messageFor } from "../Server.ts"
import { useStore } from "../Store.ts"
import { clock } from "../Format.ts"

const Meter = ({ job }: { readonly job: Job }) => {
  const level = useStore(job.level)
  // Scales -50 dB to 0 dB, the range of speech.
  const loud = level <= 0 ? 0 : Math.max(0, Math.min(1, 1 + (20 * Math.log10(level)) / 50))
  return (
    <div
      class="meter"
      role="meter"
      aria-label="Microphone level"
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.round(loud * 100)}
    >
      <div class={level > 0.98 ? "fill clipped" : "fill"} style={{ width: `${loud * 100}%` }} />
    </div>
  )
}

const Elapsed = ({ job }: { readonly job: Job }) => <span class="elapsed">{clock(useStore(job.state).total)}</span>

const useDrop = (take: (files: ReadonlyArray<File>) => void): boolean => {
  const [isOver, setOver] = useState(false)
  const latest = useRef(take)
  latest.current = take
  useEffect(() => {
    const over = (event: DragEvent) => {
      if (event.dataTransfer?.types.includes("Files") !== true) return
      event.preventDefault()
      setOver(true)
    }
    const leave = (event: DragEvent) => {
      if (event.relatedTarget === null) setOver(false)
    }
    const drop = (event: DragEvent) => {
      setOver(false)
      if (event.dataTransfer?.types.includes("Files") !== true) return
      event.preventDefault()
      latest.current([...event.dataTransfer.files])
    }
    document.addEventListener("dragover", over)
    document.addEventListener("dragleave", leave)
    document.addEventListener("drop", drop)
    return () => {
      document.removeEventListener("dragover", over)
      document.removeEventListener("dragleave", leave)
      document.removeEventListener("drop", drop)
    }
  }, [])
  return isOver
}

export function RecordPanel({ hasKey }: { readonly hasKey: boolean }) {
  const all = useStore(jobs)
  const [current, setCurrent] = useState<Job>()
  const [isStarting, setStarting] = useState(false)
  const starting = useRef(false)
  const [message, setMessage] = useState("")
  const picker = useRef<HTMLInputElement>(null)
  const recording = current !== undefined && all.includes(current) ? current : undefined

  useEffect(() => {
    if (current === undefined) return undefined
    const look = () => {
      if (!current.state.value.isRecording) setCurrent(undefined)
    }
    look()
    return current.state.watch(look)
  }, [current])

  // Ignores further clicks while the browser asks for permission.
  const start = async () => {
    if (starting.current || isRecording()) return
    starting.current = true
    setMessage("")
    setStarting(true)
    try {
      setCurrent(await record())
    } catch (cause) {
      setMessage(messageFor(cause))
    }
    setStarting(false)
    starting.current = false
  }
  const send = async (files: ReadonlyArray<File>) => {
    const problems: Array<string> = []
    for (const file of files) await sendFile(file).catch((cause: unknown) => problems.push(messageFor(cause)))
    setMessage(problems.join("\n"))
  }
  const isOver = useDrop((files) => void send(files))

  return (
    <section class="card record" aria-labelledby="record-title" hidden={!hasKey && all.length === 0 && message === ""}>
      <h2 id="record-title">Record</h2>
      <div class="record-row">
        <button
          type="button"
          class={recording === undefined ? "record-button" : "record-button on"}
          disabled={!hasKey && recording === undefined}
          aria-busy={isStarting}
          onClick={() => (recording === undefined ? void start() : recording.stop())}
        >
          <span class="dot" aria-hidden="true" />
          {recording === undefined ? (isStarting ? "Starting …" : "Record") : "Stop"}
        </button>
        {recording === undefined ? (
          <p class="hint">
            Speak, and watch it become safe: first on the server's disk, then in its store. Or drop a WAV file anywhere
            on this page.
          </p>
        ) : (
          <>
            <Elapsed job={recording} />
            <Meter job={recording} />
          </>
        )}
      </div>
      <div class="row">
        <button type="button" class="quiet" disabled={!hasKey} onClick={() => picker.current?.click()}>
          Send a WAV file …
        </button>
        <input
          ref={picker}
          type="file"
          accept=".wav,audio/wav,audio/x-wav"
          multiple
          hidden
          aria-label="WAV files to send"
          onChange={(event) => {
            void send([...(event.currentTarget.files ?? [])])
            event.currentTarget.value = ""
          }}
        />
      </div>
      {message !== "" && (
        <p class="problem" role="alert">
          {message}
        </p>
      )}
      {all.length > 0 && (
        <ul class="jobs" aria-label="Recordings and files sent from this page">
          {all.map((job) => (
            <SendingCard key={job.state.value.conversation} job={job} />
          ))}
        </ul>
      )}
      {isOver && (
        <div class="drop" aria-hidden="true">
          Drop WAV files to send them
        </div>
      )}
    </section>
  )
}

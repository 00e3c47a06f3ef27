/** Goes live with the microphone of this browser. */
import { useEffect, useState } from "preact/hooks"
import { isRecording, type Job, jobs, record, type Sending } from "../Record/Recorder.ts"
import { messageFor } from "../Server.ts"
import { useStore } from "../Store.ts"
import { endOf, knownOf, rememberJob } from "./Streams.ts"

const wordsOf = ({ isRecording, link, message }: Sending): string => {
  if (link === "done" || link === "failed") return message
  if (!isRecording) return `The rest is being sent … ${message}`
  return link === "connected" ? "You are live." : `Connecting … ${message}`
}

const Running = ({ job, title }: { readonly job: Job; readonly title: string }) => {
  const sending = useStore(job.state)
  const { isRecording, link } = sending
  return (
    <>
      {isRecording && (
        <button type="button" class="quiet danger" aria-label={`Stop ${title}`} onClick={() => job.stop()}>
          Stop
        </button>
      )}
      <span role="status" class={link === "failed" ? "problem wide" : "hint"}>
        {wordsOf(sending)}
      </span>
    </>
  )
}

/** The job with which this page goes live, or went. */
export function useJob(slug: string): Job | undefined {
  useStore(jobs)
  const { job } = knownOf(slug)
  const [, again] = useState(0)
  useEffect(() => job?.state.watch(() => again((count) => count + 1)), [job])
  return job
}

export function GoLive({ slug, title }: { readonly slug: string; readonly title: string }) {
  const [isAsking, setAsking] = useState(false)
  const [key, setKey] = useState("")
  const [problem, setProblem] = useState("")
  const job = useJob(slug)
  const isLive = job?.state.value.isRecording === true
  const start = async (streamKey: string) => {
    setProblem("")
    setAsking(false)
    if (isRecording()) return setProblem("The microphone is in use by this page. Stop the recording first.")
    try {
      const job = await record({ slug, streamKey, onStopped: () => void endOf(job) })
      rememberJob(slug, job)
    } catch (cause) {
      setProblem(messageFor(cause))
    }
  }
  return (
    <>
      {!isLive && (
        <button
          type="button"
          class="quiet"
          aria-label={`Go live with ${title}`}
          aria-expanded={isAsking}
          onClick={() => {
            const { key } = knownOf(slug)
            if (key === undefined) setAsking(!isAsking)
            else void start(key)
          }}
        >
          Go live
        </button>
      )}
      {job !== undefined && <Running job={job} title={title} />}
      {isAsking && (
        <form
          class="studio-form wide"
          aria-label={`Stream key of ${title}`}
          onSubmit={(event) => {
            event.preventDefault()
            if (key.trim() !== "") void start(key.trim())
          }}
        >
          <label for="go-live-key">Stream key</label>
          <div class="row">
            <input
              id="go-live-key"
              type="password"
              autocomplete="off"
              spellcheck={false}
              placeholder="spw_live_…"
              value={key}
              onInput={(event) => setKey(event.currentTarget.value)}
            />
            <button type="submit" class="primary">
              Start
            </button>
          </div>
          <p class="hint">The server shows it once, when it makes it. If it is lost: replace it with a new one.</p>
        </form>
      )}
      <div role="alert" class="wide">
        {problem !== "" && <p class="problem">{problem}</p>}
      </div>
    </>
  )
}

/** Goes live with the microphone of this browser. */
import { useEffect, useState } from "preact/hooks"
import { isRecording, type Job, jobs, record } from "../Record/Recorder.ts"
import { messageFor } from "../Server.ts"
import { useStore } from "../Store.ts"
import { knownKeyOf } from "./Streams.ts"

/** Names of recordings that went live here, by the slug of their stream. */
const started = new Map<string, Job>()

const Running = ({ job, title }: { readonly job: Job; readonly title: string }) => {
  const { isRecording, link, message } = useStore(job.state)
  return (
    <>
      {isRecording && (
        <button type="button" class="quiet danger" aria-label={`Stop ${title}`} onClick={() => job.stop()}>
          Stop
        </button>
      )}
      <span role="status" class={link === "failed" ? "problem" : "hint"}>
        {isRecording ? (link === "connected" ? "You are live." : `Connecting … ${message}`) : message}
      </span>
    </>
  )
}

const useJob = (slug: string): Job | undefined => {
  useStore(jobs)
  const job = started.get(slug)
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
      started.set(slug, await record({ slug, streamKey }))
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
            const known = knownKeyOf(slug)
            if (known === undefined) setAsking(!isAsking)
            else void start(known)
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

/** Progress of a recording or a file: sent, on the server's disk, in the store. */
import { forget, type Job, type Sending } from "./Recorder.ts"
import { useStore } from "../Store.ts"
import { clock, duration } from "../Format.ts"

const titles = {
  connecting: "Connecting …",
  connected: "",
  waiting: "Reconnecting …",
  key: "Waiting for a key",
  done: "Safe on the server's disk",
  failed: "Ended"
} as const

const headline = ({ inStore, isRecording, kind, link, lost, total }: Sending): string => {
  if (link === "done" && lost > 0) return "Lost in part"
  if (link === "done") return inStore >= total - 0.01 ? "Stored" : titles.done
  if (link !== "connected") return titles[link]
  if (isRecording) return "Recording"
  return kind === "file" ? "Sending" : "Sending the rest"
}

const saveFile = async (job: Job) => {
  const url = URL.createObjectURL(await job.save())
  const link = document.createElement("a")
  link.href = url
  link.download = `${job.state.value.conversation}-rest.wav`
  link.click()
  setTimeout(() => URL.revokeObjectURL(url), 60_000)
}

const steps = [
  ["sent", "Sent"],
  ["onDisk", "On disk"],
  ["inStore", "In the store"]
] as const

export function SendingCard({ job }: { readonly job: Job }) {
  const state = useStore(job.state)
  const { conversation, kind, link, lost, onDisk, title, total, message } = state
  const percent = (seconds: number) => (total === 0 ? 0 : Math.min(100, (100 * seconds) / total))
  const isOver = link === "done" || link === "failed"
  const hasRest = onDisk < total - 0.001 && !state.isRecording && link !== "connected"
  return (
    <li class={`job ${link}`} data-conversation={conversation}>
      <div class="job-head">
        <strong>{headline(state)}</strong>
        <span class="job-title">{kind === "file" ? title : conversation}</span>
        <span class="job-time">{clock(total)}</span>
      </div>
      <div class="positions">
        {steps.map(([name, label]) => (
          <div key={name} class={`position ${name}`}>
            <span id={`${conversation}-${name}`}>{label}</span>
            <div
              role="progressbar"
              aria-labelledby={`${conversation}-${name}`}
              aria-valuemin={0}
              aria-valuemax={100}
              aria-valuenow={Math.floor(percent(state[name]))}
              aria-valuetext={`${clock(state[name])} of ${clock(total)}`}
              data-seconds={state[name]}
            >
              <div style={{ width: `${percent(state[name])}%` }} />
            </div>
            <span class="number">{clock(state[name])}</span>
          </div>
        ))}
      </div>
      <div role="status">
        {lost > 0 && (
          <p class="problem">
            The server gave up {duration(lost)} of it: its journal was full before the store took them.
          </p>
        )}
        {message !== "" && <p class={link === "failed" ? "problem" : "note"}>{message}</p>}
      </div>
      <div class="row">
        {hasRest && kind === "microphone" && (
          <button type="button" class="quiet" onClick={() => void saveFile(job)}>
            Save what is not on the server
          </button>
        )}
        {kind === "file" && !isOver && (
          <button type="button" class="quiet" onClick={job.stop}>
            Stop sending
          </button>
        )}
        {isOver && (
          <button type="button" class="quiet" aria-label={`Clear ${conversation}`} onClick={() => forget(job)}>
            Clear
          </button>
        )}
      </div>
    </li>
  )
}

/** The current recording in the header and the tab's title, with its stop button; announced to screen readers. */
import { useEffect, useRef, useState } from "preact/hooks"
import { type Job, jobs, type Sending } from "./Recorder.ts"
import { useStore } from "../Store.ts"
import { clock } from "../Format.ts"

const useJobs = (): ReadonlyArray<Job> => {
  const all = useStore(jobs)
  const [, again] = useState(0)
  useEffect(() => {
    const ends = all.map(({ state }) => state.watch(() => again((count) => count + 1)))
    return () => ends.forEach((end) => end())
  }, [all])
  return all
}

type Phase = "recording" | "away" | "sending" | "stored" | "other"

const phaseOf = ({ inStore, isRecording, link, total }: Sending): Phase => {
  if (link === "waiting") return "away"
  if (isRecording) return link === "connected" ? "recording" : "other"
  if (link === "done") return inStore >= total - 0.01 ? "stored" : "other"
  return link === "connected" ? "sending" : "other"
}

const message = {
  recording: "The microphone is on, and its audio is sent.",
  away: "The connection broke. Unsent audio is kept here and sent after reconnecting.",
  sending: "The microphone is off. The rest is sent.",
  stored: "All audio is in the store."
} as const

/** Announces each change to screen readers once, without numbers. */
const Announcer = ({ all }: { readonly all: ReadonlyArray<Job> }) => {
  const phases = useRef(new WeakMap<Job, Phase>())
  const [said, say] = useState("")
  useEffect(() => {
    for (const job of all) {
      const { kind } = job.state.value
      const phase = phaseOf(job.state.value)
      if (phase === "other" || phase === phases.current.get(job)) continue
      phases.current.set(job, phase)
      if (kind === "microphone" || phase === "stored") say(message[phase])
    }
  })
  return (
    <p class="unseen" role="status">
      {said}
    </p>
  )
}

export function RecordingNow() {
  const all = useJobs()
  const recording = all.find(({ state }) => state.value.isRecording)
  const isBroadcast = recording?.state.value.isBroadcast === true
  const title = isBroadcast ? "Live" : "Recording"
  const isRecording = recording !== undefined
  useEffect(() => {
    document.title = isRecording ? `● ${title} – Spillway` : "Spillway"
  }, [isRecording, title])
  return (
    <>
      <Announcer all={all} />
      {recording !== undefined && (
        <div class="recording-now">
          <span class="chip live">
            {title} <span class="number">{clock(recording.state.value.total)}</span>
          </span>
          <button
            type="button"
            class="quiet"
            aria-label={isBroadcast ? "Stop the broadcast" : "Stop recording"}
            onClick={() => recording.stop()}
          >
            Stop
          </button>
        </div>
      )}
    </>
  )
}

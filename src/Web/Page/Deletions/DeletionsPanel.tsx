/** Deletions: objects that are pending by due time, the rate, and what was given up, to retry or to keep. */
import { useEffect } from "preact/hooks"
import * as Deletions from "./Deletions.ts"
import { count, date, duration } from "../Format.ts"
import type { Backlog, Deletion, GivenUp } from "../Model.ts"
import { Alert } from "../Outcome.tsx"
import { useStore } from "../Store.ts"

/** The server counts to this number. */
const maxCounted = 10_000

const counted = (value: number) => (value < maxCounted ? count(value) : `${count(maxCounted)} or more`)

const objects = (value: number) => (value === 1 ? "1 object" : `${count(value)} objects`)

const timesOf = ({ due, due_within: within }: Backlog) => [
  { title: "Now", value: due },
  { title: "Within a minute", value: within.minute },
  { title: "Within an hour", value: within.hour },
  { title: "Within a day", value: within.day },
  { title: "Later", value: within.later }
]

/** A backlog that is older than this is a problem. */
const lateSeconds = 300

const DueTimes = ({ backlog }: { readonly backlog: Backlog }) => {
  const times = timesOf(backlog)
  const most = Math.max(1, ...times.map(({ value }) => value))
  return (
    <table class="bounds">
      <thead>
        <tr>
          <th scope="col">Due</th>
          <th scope="col">Share</th>
          <th scope="col" class="number">
            Objects
          </th>
        </tr>
      </thead>
      <tbody>
        {times.map(({ title, value }) => (
          <tr key={title}>
            <th scope="row">{title}</th>
            <td class="bar">
              <div class="use" aria-hidden="true">
                <div style={{ width: `${Math.max((value / most) * 100, value > 0 ? 1 : 0)}%` }} />
              </div>
            </td>
            <td class="number">{counted(value)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}

const rateOf = (rate: number | undefined) =>
  rate === undefined ? "measuring …" : `${rate < 10 ? Math.round(rate * 10) / 10 : count(Math.round(rate))} per second`

const Pace = ({ backlog, rate }: { readonly backlog: Backlog; readonly rate: number | undefined }) => {
  const { due, oldest_due_seconds: oldest } = backlog
  const isLate = oldest > lateSeconds
  return (
    <p class={isLate ? "pace bad" : "pace"}>
      <span>Rate of this node: {rateOf(rate)}</span>
      <span>
        {due === 0 ? "Nothing is due" : `${isLate ? "⚠ " : ""}The oldest has been due for ${duration(oldest)}`}
      </span>
    </p>
  )
}

const DeadLetter = ({ letter }: { readonly letter: Deletion }) => (
  <li>
    <div>
      <code>{letter.key}</code>
      <p>{letter.last_error ?? "No reason is known."}</p>
      <p class="hint">Given up {date(letter.at)}</p>
    </div>
    <div class="row">
      <button
        type="button"
        class="quiet"
        aria-label={`Retry ${letter.key}`}
        onClick={() => void Deletions.retry(letter)}
      >
        Retry
      </button>
      <button type="button" class="quiet" aria-label={`Keep ${letter.key}`} onClick={() => void Deletions.keep(letter)}>
        Keep
      </button>
    </div>
  </li>
)

const DeadLetters = ({
  dead,
  hasMore,
  total
}: {
  readonly dead: ReadonlyArray<Deletion>
  readonly hasMore: boolean
  readonly total: number
}) => (
  <section aria-labelledby="dead-title">
    <h4 id="dead-title">
      Dead letters <span class="count">{counted(total)}</span>
    </h4>
    {dead.length === 0 ? (
      <p class="hint">No deletion of an object has failed 20 times.</p>
    ) : (
      <ul class="dead">
        {dead.map((letter) => (
          <DeadLetter key={letter.id} letter={letter} />
        ))}
      </ul>
    )}
    {hasMore && (
      <button type="button" class="quiet" onClick={() => void Deletions.more()}>
        Show more
      </button>
    )}
  </section>
)

const Job = ({ job }: { readonly job: GivenUp }) => {
  const name = job.conversation_id === null ? `User ${job.uid}` : `Conversation ${job.conversation_id} of ${job.uid}`
  return (
    <li>
      <div>
        <code>{name}</code>
        <p>{job.last_error ?? "No reason is known."}</p>
      </div>
      <button type="button" class="quiet" aria-label={`Retry ${name}`} onClick={() => void Deletions.retryJob(job)}>
        Retry
      </button>
    </li>
  )
}

const Jobs = ({ hasMore, jobs }: { readonly hasMore: boolean; readonly jobs: ReadonlyArray<GivenUp> }) => (
  <section aria-labelledby="jobs-title">
    <h4 id="jobs-title">
      Conversations and accounts that could not be deleted{" "}
      <span class="count">
        {jobs.length}
        {hasMore && " or more"}
      </span>
    </h4>
    <ul class="dead">
      {jobs.map((job) => (
        <Job key={job.job_id} job={job} />
      ))}
    </ul>
  </section>
)

export function DeletionsPanel() {
  const { backlog, dead, hasMore, hasMoreJobs, isForbidden, jobs, message, rate } = useStore(Deletions.deletions)
  useEffect(() => {
    const stop = new AbortController()
    void Deletions.follow(stop.signal)
    return () => stop.abort()
  }, [])
  if (isForbidden) return <p class="hint">A key with the scope admin also shows the deletions.</p>
  return (
    <section class="card deletions" aria-labelledby="deletions-title">
      <h3 id="deletions-title">
        Deletions {backlog !== undefined && <span class="count">{objects(backlog.pending)} pending</span>}
      </h3>
      <Alert>{message}</Alert>
      {backlog === undefined ? (
        <p class="hint">Waiting for the server …</p>
      ) : (
        <>
          <Pace backlog={backlog} rate={rate} />
          <DueTimes backlog={backlog} />
          <DeadLetters dead={dead} hasMore={hasMore} total={backlog.dead} />
          {jobs.length > 0 && <Jobs jobs={jobs} hasMore={hasMoreJobs} />}
        </>
      )}
    </section>
  )
}

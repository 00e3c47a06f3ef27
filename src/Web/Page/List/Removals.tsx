/** Deletes conversations with undo: the server waits for a while, and the list hides them meanwhile. */
import { useEffect, useRef, useState } from "preact/hooks"
import * as Json from "../Json.ts"
import * as List from "./List.ts"
import * as Model from "../Model.ts"
import { pause } from "../Pause.ts"
import { player } from "../Play/Player.ts"
import { changeJson, fetchJson, isAbort, messageFor, Refused } from "../Server.ts"
import { session } from "../Session.ts"
import { Store, useSelected, useStore } from "../Store.ts"
import { titleOf } from "./Title.ts"
import { clock } from "../Format.ts"

/** Time to undo. */
const undoSeconds = 30
const pollMillis = 1_000
/** Pause while one waits for its time: another tab can undo it, and another client can begin it. */
const waitMillis = 5_000

/** Most conversations that are deleted at a time. At the bound the buttons are disabled. */
const maxRemovals = 50

interface Removal {
  readonly conversation: string
  readonly job: string
  /** Requested on this page, and not before it was loaded. */
  readonly isNew: boolean
  /** When the deletion begins, by the page's clock. */
  readonly at: number
  /** Why it has not ended. */
  readonly message: string
}

interface Removals {
  readonly removals: ReadonlyArray<Removal>
  readonly message: string
}

const empty: Removals = { removals: [], message: "" }

export const state = new Store<Removals>(empty)

const fields = { job_id: Json.text, status: Json.text, last_error: Json.nullable(Json.text) }
const job = Json.record(fields)
const jobs = Json.record({
  at: Json.text,
  deletions: Json.list(
    Json.record({ ...fields, conversation_id: Json.nullable(Json.text), due_at: Json.nullable(Json.text) })
  )
})

const find = (id: string): Removal | undefined => state.value.removals.find((each) => each.job === id)

const forget = (id: string): void => {
  state.update({ removals: state.value.removals.filter((each) => each.job !== id) })
}

const change = (id: string, changed: Pick<Removal, "at" | "message">): void => {
  state.update({ removals: state.value.removals.map((each) => (each.job === id ? { ...each, ...changed } : each)) })
}

/** Waits until the server has deleted it, or it is undone. */
const follow = async (id: string): Promise<void> => {
  for (let known = find(id); known !== undefined; known = find(id)) {
    await pause(Math.max(pollMillis, Math.min(waitMillis, known.at - performance.now())))
    const { at, conversation } = known
    try {
      const { last_error: error, status } = await fetchJson(job, `/v1/deletions/${id}`)
      if (status === "cancelled") return forget(id)
      if (status === "done") {
        List.drop(conversation)
        return forget(id)
      }
      change(id, { at: status === "scheduled" ? at : 0, message: error ?? "" })
    } catch (cause) {
      change(id, { at, message: messageFor(cause) })
    }
  }
}

/** A later request can succeed: the server starts, is overloaded, or does not answer. */
const isTransient = (cause: unknown) => !(cause instanceof Refused) || cause.status === 429 || cause.status >= 500

/** Shows what is being deleted since before the page was loaded. */
export async function restore(stop: AbortSignal): Promise<void> {
  const { key } = session.value
  while (!stop.aborted) {
    try {
      const { at: answeredAt, deletions } = await fetchJson(jobs, `/v1/deletions?limit=${maxRemovals}`, stop)
      if (session.value.key !== key) return
      const found = deletions.flatMap(({ conversation_id, due_at, job_id, last_error, status }) => {
        if (conversation_id === null || find(job_id) !== undefined) return []
        const left = status === "scheduled" && due_at !== null ? Date.parse(due_at) - Date.parse(answeredAt) : -Infinity
        const at = performance.now() + left
        return [{ conversation: conversation_id, job: job_id, isNew: false, at, message: last_error ?? "" }]
      })
      state.update({ removals: [...state.value.removals, ...found] })
      for (const { job } of found) void follow(job)
      return
    } catch (cause) {
      // The list shows the reason.
      if (isAbort(cause) || !isTransient(cause)) return
      await pause(pollMillis, stop)
    }
  }
}

const remove = async (conversation: Model.Conversation): Promise<void> => {
  const { id } = conversation
  try {
    const found = await changeJson(job, "DELETE", `${Model.pathOf(id)}?delay=${undoSeconds}`)
    if (player.state.value.track?.conversation === id) player.close()
    const at = performance.now() + undoSeconds * 1_000
    const removal: Removal = { conversation: id, job: found.job_id, isNew: true, at, message: "" }
    const others = state.value.removals.filter((each) => each.job !== removal.job)
    state.set({ removals: [...others, removal], message: "" })
    void follow(removal.job)
  } catch (cause) {
    if (cause instanceof Refused && cause.status === 404) List.drop(id)
    state.update({ message: messageFor(cause) })
  }
}

const undo = async ({ job: id }: Removal): Promise<void> => {
  try {
    await changeJson(job, "DELETE", `/v1/deletions/${id}`)
    forget(id)
    state.update({ message: "" })
  } catch (cause) {
    state.update({ message: messageFor(cause) })
  }
}

// Deletions with one key are not shown with another.
let shownFor = session.value.key
session.watch(() => {
  if (session.value.key === shownFor) return
  shownFor = session.value.key
  state.set(empty)
})

export function RemoveButton({ conversation }: { readonly conversation: Model.Conversation }) {
  const isFull = useSelected(state, ({ removals }) => removals.length >= maxRemovals)
  const title = titleOf(conversation)
  return (
    <div class="row remove">
      <button
        type="button"
        class="quiet"
        disabled={isFull}
        aria-label={`Delete ${title}`}
        onClick={() => void remove(conversation)}
      >
        Delete
      </button>
    </div>
  )
}

/** Seconds until a moment of the page's clock, counted down. */
const useCountdown = (at: number): number => {
  const left = () => Math.max(0, Math.ceil((at - performance.now()) / 1_000))
  const [seconds, setSeconds] = useState(left)
  useEffect(() => {
    const timer = setInterval(() => setSeconds(left()), 250)
    return () => clearInterval(timer)
  }, [at])
  return seconds
}

const Notice = ({ removal }: { readonly removal: Removal }) => {
  const { at, conversation, isNew, message } = removal
  const seconds = useCountdown(at)
  const title = titleOf(List.find(conversation) ?? { id: conversation, started_at: null })
  const button = useRef<HTMLButtonElement>(null)
  // The button that was pressed is gone.
  useEffect(() => {
    if (isNew) button.current?.focus()
  }, [])
  return (
    <li class="row">
      <p>
        {seconds > 0
          ? `${title} is deleted in ${seconds < 60 ? `${seconds} s` : clock(seconds)}.`
          : `${title} is being deleted.`}
        {seconds === 0 && message !== "" && ` Not complete yet: ${message}`}
      </p>
      {seconds > 0 && (
        <button
          ref={button}
          type="button"
          class="quiet"
          aria-label={`Undo: keep ${title}`}
          onClick={() => void undo(removal)}
        >
          Undo
        </button>
      )}
    </li>
  )
}

export function RemovalNotices() {
  const { message, removals } = useStore(state)
  return (
    <>
      {message !== "" && (
        <p class="problem" role="alert">
          {message}
        </p>
      )}
      {removals.length > 0 && (
        <ul class="card removals" aria-label="Deletions">
          {removals.map((removal) => (
            <Notice key={removal.job} removal={removal} />
          ))}
        </ul>
      )}
    </>
  )
}

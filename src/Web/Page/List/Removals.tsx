/** Deletes conversations with undo: the server waits for a while, and the list hides them meanwhile. */
import { useEffect, useRef, useState } from "preact/hooks"
import * as Json from "../Json.ts"
import * as List from "./List.ts"
import * as Model from "../Model.ts"
import { pause } from "../Pause.ts"
import { player } from "../Play/Player.ts"
import { changeJson, fetchJson, messageFor, Refused } from "../Server.ts"
import { session } from "../Session.ts"
import { Store, useSelected, useStore } from "../Store.ts"
import { titleOf } from "./Title.ts"

/** Time to undo. */
const undoSeconds = 30
const pollMillis = 1_000

/** Most conversations that are deleted at a time. At the bound the buttons are disabled. */
const maxRemovals = 50

interface Removal {
  readonly conversation: string
  readonly title: string
  readonly job: string
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

const job = Json.record({ job_id: Json.text, status: Json.text, last_error: Json.nullable(Json.text) })

const find = (id: string): Removal | undefined => state.value.removals.find((each) => each.job === id)

const forget = (id: string): void => {
  state.update({ removals: state.value.removals.filter((each) => each.job !== id) })
}

const describe = (id: string, message: string): void => {
  if (find(id)?.message === message) return
  state.update({ removals: state.value.removals.map((each) => (each.job === id ? { ...each, message } : each)) })
}

/** Waits until the server has deleted it, or it is undone. */
const follow = async ({ at, conversation, job: id }: Removal): Promise<void> => {
  await pause(at - performance.now())
  while (find(id) !== undefined) {
    try {
      const { last_error: error, status } = await fetchJson(job, `/v1/deletions/${id}`)
      if (status === "cancelled") return forget(id)
      if (status === "done") {
        List.drop(conversation)
        return forget(id)
      }
      describe(id, error ?? "")
    } catch (cause) {
      describe(id, messageFor(cause))
    }
    await pause(pollMillis)
  }
}

const remove = async (conversation: Model.Conversation): Promise<void> => {
  const { id } = conversation
  try {
    const found = await changeJson(job, "DELETE", `${Model.pathOf(id)}?delay=${undoSeconds}`)
    if (player.state.value.track?.conversation === id) player.close()
    const at = performance.now() + undoSeconds * 1_000
    const removal: Removal = { conversation: id, title: titleOf(conversation), job: found.job_id, at, message: "" }
    const others = state.value.removals.filter((each) => each.job !== removal.job)
    state.set({ removals: [...others, removal], message: "" })
    void follow(removal)
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
  const seconds = useCountdown(removal.at)
  const button = useRef<HTMLButtonElement>(null)
  // The button that was pressed is gone.
  useEffect(() => button.current?.focus(), [])
  return (
    <li class="row">
      <p>
        {seconds > 0 ? `${removal.title} is deleted in ${seconds} s.` : `${removal.title} is being deleted.`}
        {removal.message !== "" && ` Not complete yet: ${removal.message}`}
      </p>
      {seconds > 0 && (
        <button
          ref={button}
          type="button"
          class="quiet"
          aria-label={`Undo: keep ${removal.title}`}
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

/** The server's backlog of deletions and its dead letters, polled while they are shown. */
import * as Model from "../Model.ts"
import { pause } from "../Pause.ts"
import { change, fetchJson, isAbort, messageFor, Refused } from "../Server.ts"
import { Store } from "../Store.ts"

export interface Deletions {
  /** Undefined before the first response. */
  readonly backlog: Model.Backlog | undefined
  /** Objects per second, deleted by the node that answers; undefined before the second response. */
  readonly rate: number | undefined
  /** The oldest dead letters. */
  readonly dead: ReadonlyArray<Model.Deletion>
  readonly hasMore: boolean
  /** The oldest deletions of conversations and accounts that were given up. */
  readonly jobs: ReadonlyArray<Model.GivenUp>
  readonly hasMoreJobs: boolean
  /** The key lacks the scope `admin`. */
  readonly isForbidden: boolean
  readonly message: string
}

const empty: Deletions = {
  backlog: undefined,
  rate: undefined,
  dead: [],
  hasMore: false,
  jobs: [],
  hasMoreJobs: false,
  isForbidden: false,
  message: ""
}

export const deletions = new Store<Deletions>(empty)

const pollMillis = 3_000
const pageSize = 20
/** Most dead letters in the list. When some are retried or cancelled, the next ones take their place. */
const maxDead = 500

let limit = pageSize
let previous: { readonly at: number; readonly deleted: number } | undefined

/** Undefined when the count fell: another node answered, or the same one was restarted. */
const rateOf = (deleted: number): number | undefined => {
  const now = { at: performance.now(), deleted }
  const last = previous
  previous = now
  return last === undefined || deleted < last.deleted
    ? undefined
    : ((deleted - last.deleted) * 1_000) / Math.max(1, now.at - last.at)
}

const refresh = async (signal?: AbortSignal): Promise<void> => {
  try {
    const path = `/v1/admin/deletions?state=dead&limit=${limit}`
    const [{ backlog, deletions: dead, next }, jobs] = await Promise.all([
      fetchJson(Model.deletions, path, signal),
      fetchJson(Model.givenUpJobs, `/v1/deletions?all=true&state=dead&limit=${pageSize}`, signal)
    ])
    const hasMore = next !== null && limit < maxDead
    const rate = rateOf(backlog.deleted_by_node)
    const hasMoreJobs = jobs.next !== null
    deletions.update({ backlog, dead, hasMore, jobs: jobs.deletions, hasMoreJobs, rate, message: "" })
  } catch (cause) {
    if (cause instanceof Refused && cause.status === 403) deletions.update({ isForbidden: true })
    else if (!isAbort(cause)) deletions.update({ message: messageFor(cause) })
  }
}

const act = async (method: "POST" | "DELETE", path: string): Promise<void> => {
  try {
    await change(method, path)
    await refresh()
  } catch (cause) {
    deletions.update({ message: messageFor(cause) })
  }
}

export function retry({ id }: Model.Deletion): Promise<void> {
  return act("POST", `/v1/admin/deletions/${id}/retry`)
}

export function keep({ id }: Model.Deletion): Promise<void> {
  return act("DELETE", `/v1/admin/deletions/${id}`)
}

/** Deleting again retries. */
export function retryJob({ conversation_id: conversation, uid }: Model.GivenUp): Promise<void> {
  const user = encodeURIComponent(uid)
  return act("DELETE", conversation === null ? `/v1/users/${user}` : `${Model.pathOf(conversation)}?uid=${user}`)
}

export async function more(): Promise<void> {
  limit = Math.min(maxDead, limit + pageSize)
  await refresh()
}

/** Polls until `stop`. */
export async function follow(stop: AbortSignal): Promise<void> {
  deletions.set(empty)
  limit = pageSize
  previous = undefined
  while (!stop.aborted && !deletions.value.isForbidden) {
    if (!document.hidden) await refresh(stop)
    await pause(pollMillis, stop)
  }
}

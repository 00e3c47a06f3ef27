/** State of the list of conversations: polls the part that can change, and loads older pages on demand. */
import * as Model from "../Model.ts"
import { pause } from "../Pause.ts"
import { fetchJson, isAbort, messageFor } from "../Server.ts"
import { session } from "../Session.ts"
import { Store } from "../Store.ts"

export interface List {
  /** Undefined before the first response. */
  readonly conversations: ReadonlyArray<Model.Conversation> | undefined
  /** Cursor of the next older page; null after the oldest. */
  readonly next: string | null
  readonly isLoadingMore: boolean
  readonly message: string
}

const empty: List = { conversations: undefined, next: null, isLoadingMore: false, message: "" }

export const list = new Store<List>(empty)

const pageSize = 20
const largestPage = 100
const pollMillis = 2_000
const hiddenMillis = 15_000
/** Bound of the list. Older ones are reachable by URL or with the command line. */
export const maxConversations = 2_000

const page = (limit: number, before: string | null, signal: AbortSignal): Promise<Model.Conversations> =>
  fetchJson(
    Model.conversations,
    `/v1/conversations?limit=${limit}${before === null ? "" : `&before=${encodeURIComponent(before)}`}`,
    signal
  )

/** Fetches the newest conversations down to the oldest live one: the part that changes. */
const changing = async (
  known: ReadonlyArray<Model.Conversation>,
  signal: AbortSignal
): Promise<Model.Conversations> => {
  const live = new Set(known.filter((each) => each.live).map(({ id }) => id))
  const wanted = known.findLastIndex((each) => each.live) + 1
  /** The conversation below them. A live one that is no longer above it has ended without audio, or was deleted. */
  const below = known[wanted]?.id
  const conversations: Array<Model.Conversation> = []
  let isReached = false
  let next: string | null = null
  do {
    const limit = Math.min(largestPage, Math.max(pageSize, wanted - conversations.length))
    const found: Model.Conversations = await page(limit, next, signal)
    conversations.push(...found.conversations)
    next = found.next
    for (const { id } of found.conversations) {
      live.delete(id)
      isReached ||= id === below
    }
  } while (next !== null && live.size > 0 && !isReached && conversations.length < maxConversations)
  return { conversations, next }
}

/** Merges the fetched conversations with the unchanged ones below them. */
const refresh = async (signal: AbortSignal): Promise<void> => {
  try {
    const known = list.value.conversations ?? []
    const { conversations, next } = await changing(known, signal)
    const fresh = new Set(conversations.map(({ id }) => id))
    // A conversation that was live and is missing from the response has no audio, or was deleted.
    const below = (list.value.conversations ?? []).filter(({ id, live }) => !live && !fresh.has(id))
    const meets = known.some(({ id }) => fresh.has(id))
    const all = meets ? [...conversations, ...below] : conversations
    list.update({
      conversations: all.slice(0, maxConversations),
      next: meets && below.length > 0 ? list.value.next : next,
      message: ""
    })
  } catch (cause) {
    if (!isAbort(cause)) list.update({ message: messageFor(cause) })
  }
}

let followed = AbortSignal.abort()

export async function more(): Promise<void> {
  const { conversations, isLoadingMore, next } = list.value
  const signal = followed
  if (next === null || isLoadingMore || (conversations?.length ?? 0) >= maxConversations) return
  list.update({ isLoadingMore: true })
  try {
    const older = await page(pageSize, next, signal)
    const known = new Set((list.value.conversations ?? []).map(({ id }) => id))
    const added = older.conversations.filter(({ id }) => !known.has(id))
    list.update({ conversations: [...(list.value.conversations ?? []), ...added], next: older.next, message: "" })
  } catch (cause) {
    if (isAbort(cause)) return
    list.update({ message: messageFor(cause) })
  }
  list.update({ isLoadingMore: false })
}

export function find(id: string): Model.Conversation | undefined {
  return list.value.conversations?.find((conversation) => conversation.id === id)
}

/** Removes a conversation that was deleted. Polls read only the part of the list that changes. */
export function drop(id: string): void {
  list.update({ conversations: list.value.conversations?.filter((conversation) => conversation.id !== id) })
}

/** Polls with the current key until `stop`. */
export async function follow(stop: AbortSignal): Promise<void> {
  followed = stop
  list.set(empty)
  while (!stop.aborted && session.value.key !== undefined) {
    await refresh(stop)
    await pause(document.hidden ? hiddenMillis : pollMillis, stop)
  }
}

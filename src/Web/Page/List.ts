/** The conversations, newest first: the first page again and again, more as one scrolls. */
import * as Model from "./Model.ts"
import { pause } from "./Pause.ts"
import { askJson, isAbort, wordsFor } from "./Server.ts"
import { session } from "./Session.ts"
import { Store } from "./Store.ts"

export interface List {
  /** None before the first answer. */
  readonly conversations: ReadonlyArray<Model.Conversation> | undefined
  /** The `before` of the page after the last. */
  readonly next: string | null
  readonly isLoadingMore: boolean
  readonly words: string
}

const empty: List = { conversations: undefined, next: null, isLoadingMore: false, words: "" }

export const list = new Store<List>(empty)

const pageSize = 20
const pollMillis = 2_000
const hiddenMillis = 15_000
/** Kept in the page; older ones are asked for by address or with the command line. */
const maxConversations = 2_000

const page = (before?: string, signal?: AbortSignal) =>
  askJson(
    Model.conversations,
    `/v1/conversations?limit=${pageSize}${before === undefined ? "" : `&before=${encodeURIComponent(before)}`}`,
    signal
  )

const isLarge = () => (list.value.conversations?.length ?? 0) >= maxConversations

/** The first page again: what is new is above, what is known below stays. */
export const refresh = async (signal?: AbortSignal): Promise<void> => {
  try {
    const { conversations, next } = await page(undefined, signal)
    const fresh = new Set(conversations.map(({ id }) => id))
    const known = list.value.conversations ?? []
    const below = known.filter(({ id }) => !fresh.has(id))
    const meets = known.some(({ id }) => fresh.has(id))
    const isFirst = known.length === 0 || !meets
    list.update({
      conversations: isFirst ? conversations : [...conversations, ...below],
      next: isFirst ? next : list.value.next,
      words: ""
    })
  } catch (cause) {
    if (!isAbort(cause)) list.update({ words: wordsFor(cause) })
  }
}

export const more = async (): Promise<void> => {
  const { conversations, isLoadingMore, next } = list.value
  if (next === null || isLoadingMore || isLarge()) return
  list.update({ isLoadingMore: true })
  try {
    const older = await page(next)
    const known = new Set((conversations ?? []).map(({ id }) => id))
    const added = older.conversations.filter(({ id }) => !known.has(id))
    list.update({ conversations: [...(list.value.conversations ?? []), ...added], next: older.next, words: "" })
  } catch (cause) {
    list.update({ words: wordsFor(cause) })
  }
  list.update({ isLoadingMore: false })
}

export const find = (id: string): Model.Conversation | undefined =>
  list.value.conversations?.find((conversation) => conversation.id === id)

export const follow = async (stop: AbortSignal): Promise<void> => {
  list.set(empty)
  while (!stop.aborted && session.value.key !== undefined) {
    await refresh(stop)
    await pause(document.hidden ? hiddenMillis : pollMillis, stop)
  }
}

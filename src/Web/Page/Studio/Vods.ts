/** The recordings of the key's user: a list by pages, its first page polled while it is shown. */
import { pause } from "../Pause.ts"
import { changeJson, fetchJson, fetchTagged, isAbort, messageFor } from "../Server.ts"
import { Store } from "../Store.ts"
import { vodPath } from "../Stream/Model.ts"
import * as Model from "./Model.ts"

export interface Vods {
  /** Undefined before the first response. Newest first. */
  readonly vods: ReadonlyArray<Model.Vod> | undefined
  /** Of the whole list. Null in a search, whose matches are not counted. */
  readonly total: number | null
  /** Of the next page. */
  readonly cursor: string | null
  readonly search: string
  /** Empty: all. */
  readonly status: string
  readonly isLoading: boolean
  /** Of the latest action. */
  readonly done: string
  readonly problem: string
  /** Why the list could not be read. */
  readonly message: string
}

const empty: Vods = {
  vods: undefined,
  total: null,
  cursor: null,
  search: "",
  status: "",
  isLoading: false,
  done: "",
  problem: "",
  message: ""
}

export const vods = new Store<Vods>(empty)

const path = "/api/v1/studio/vods"
const pageSize = 20
/** Rows that the page keeps. Beyond this, a search finds older ones. */
export const maxRows = 500
const pollMillis = 4_000

let latest = 0

const query = (cursor: string | null): string => {
  const { search, status } = vods.value
  const parts = new URLSearchParams({ page_size: String(pageSize) })
  if (search !== "") parts.set("q", search)
  if (status !== "") parts.set("status", status)
  if (cursor !== null) parts.set("cursor", cursor)
  return `${path}?${parts}`
}

const load = async (cursor: string | null, signal?: AbortSignal): Promise<void> => {
  const turn = ++latest
  vods.update({ isLoading: true, problem: "", message: "" })
  try {
    const page = await fetchJson(Model.vods, query(cursor), signal)
    if (turn !== latest) return
    const before = cursor === null ? [] : (vods.value.vods ?? [])
    vods.update({ vods: [...before, ...page.vods], total: page.total, cursor: page.cursor })
  } catch (cause) {
    if (!isAbort(cause) && turn === latest) vods.update({ message: messageFor(cause) })
  } finally {
    if (turn === latest) vods.update({ isLoading: false })
  }
}

/** Updates the rows of the first page, and adds new ones. */
const refresh = async (signal: AbortSignal): Promise<void> => {
  const { isLoading, search, vods: known } = vods.value
  if (isLoading || search !== "" || known === undefined) return
  const turn = latest
  try {
    const page = await fetchJson(Model.vods, query(null), signal)
    if (turn !== latest) return
    const newest = new Map(page.vods.map((vod) => [vod.id, vod]))
    const shown = (vods.value.vods ?? []).map((vod) => newest.get(vod.id) ?? vod)
    const ids = new Set(shown.map(({ id }) => id))
    const added = page.vods.filter(({ id }) => !ids.has(id))
    vods.update({ vods: [...added, ...shown], total: page.total, message: "" })
  } catch (cause) {
    if (!isAbort(cause) && turn === latest) vods.update({ message: messageFor(cause) })
  }
}

export function find(filter: Partial<Pick<Vods, "search" | "status">>): void {
  vods.update({ ...filter, vods: undefined, cursor: null, done: "" })
  void load(null)
}

export function older(): void {
  void load(vods.value.cursor)
}

const replace = (changed: Model.Vod): void => {
  // A refresh on its way has the former one.
  latest++
  vods.update({ isLoading: false, vods: vods.value.vods?.map((vod) => (vod.id === changed.id ? changed : vod)) })
}

/** `done` is announced. The row stays until the list is read again, so that the action can be undone. */
const act = async (done: string, method: "POST" | "DELETE", target: string): Promise<void> => {
  vods.update({ done: "", problem: "" })
  try {
    replace(await changeJson(Model.vod, method, target, method === "POST" ? {} : undefined))
    vods.update({ done })
  } catch (cause) {
    vods.update({ problem: messageFor(cause) })
  }
}

export function remove({ id }: Model.Vod): Promise<void> {
  return act("The recording was deleted. It can be restored for 30 days.", "DELETE", vodPath(id))
}

export function restore({ id }: Model.Vod): Promise<void> {
  return act("The recording was restored.", "POST", `${vodPath(id)}/restore`)
}

export function retry({ id }: Model.Vod): Promise<void> {
  return act("The recording is prepared again.", "POST", `${vodPath(id)}/retry`)
}

/** What the form begins with, and its version. */
export function read({ id }: Model.Vod): Promise<{ readonly value: Model.Vod; readonly etag: string }> {
  return fetchTagged(Model.vod, vodPath(id))
}

export interface Fields {
  readonly title: string
  readonly description: string
}

/** Throws what the form shows: 412 if the recording has another version by now. */
export async function edit({ id }: Model.Vod, fields: Fields, etag: string): Promise<void> {
  replace(await changeJson(Model.vod, "PATCH", vodPath(id), fields, { "if-match": etag }))
  vods.update({ done: "The recording was changed.", problem: "" })
}

export function readAnalytics({ id }: Model.Vod, signal: AbortSignal): Promise<Model.Analytics> {
  return fetchJson(Model.analytics, `${vodPath(id)}/analytics`, signal)
}

/** Polls until `stop`, and then forgets all. */
export async function follow(stop: AbortSignal): Promise<void> {
  const forget = () => {
    latest++
    vods.set(empty)
  }
  forget()
  stop.addEventListener("abort", forget, { once: true })
  await load(null, stop)
  while (!stop.aborted) {
    await pause(pollMillis, stop)
    if (!document.hidden && !stop.aborted) await (vods.value.vods === undefined ? load(null, stop) : refresh(stop))
  }
}

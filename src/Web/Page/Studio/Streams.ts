/** The streams of the key's user, polled while they are shown, with the metrics of those that are live. */
import type { Job } from "../Record/Recorder.ts"
import { pause } from "../Pause.ts"
import { change, changeJson, fetchJson, fetchTagged, isAbort, messageFor } from "../Server.ts"
import { Store } from "../Store.ts"
import {
  metrics as metricsOf,
  type Metrics,
  stream as streamOf,
  type Stream,
  streamPath,
  streamsPath
} from "../Stream/Model.ts"
import * as Model from "./Model.ts"

/** A new stream key, which the server returns only once. */
export interface ShownKey {
  readonly slug: string
  readonly key: string
}

export interface Streams {
  /** Undefined before the first response. Newest first. */
  readonly streams: ReadonlyArray<Stream> | undefined
  readonly hasMore: boolean
  /** By slug. */
  readonly metrics: Readonly<Record<string, Metrics>>
  readonly shownKey: ShownKey | undefined
  /** Of the latest action. */
  readonly done: string
  readonly problem: string
  /** Why the streams could not be read. */
  readonly message: string
}

const empty: Streams = {
  streams: undefined,
  hasMore: false,
  metrics: {},
  shownKey: undefined,
  done: "",
  problem: "",
  message: ""
}

export const streams = new Store<Streams>(empty)

/** A user has 100 streams. */
const pageSize = 100
const pollMillis = 3_000
/** Live streams whose metrics are read at a time. */
const maxMeasured = 10

/** `key`: the page has seen it, and goes live with it. `job`: it is live, or was. */
interface Known {
  readonly key?: string
  readonly job?: Job
}

/** By slug. Forgotten when the page is closed. */
const known = new Map<string, Known>()

const remember = (slug: string, more: Known): void => void known.set(slug, { ...known.get(slug), ...more })

let latest = 0

const refresh = async (signal?: AbortSignal): Promise<void> => {
  const turn = ++latest
  try {
    const page = await fetchJson(Model.streams, `${streamsPath}?limit=${pageSize}`, signal)
    const live = page.streams.filter(({ live }) => live !== null).slice(0, maxMeasured)
    const measured = await Promise.all(
      live.map(async ({ slug }) => [slug, await fetchJson(metricsOf, `${streamPath(slug)}/metrics`, signal)] as const)
    )
    if (turn !== latest) return
    const metrics = Object.fromEntries(measured)
    streams.update({ streams: page.streams, hasMore: page.next !== null, metrics, message: "" })
  } catch (cause) {
    if (!isAbort(cause) && turn === latest) streams.update({ message: messageFor(cause) })
  }
}

/** `done` is announced. False if the action failed. */
const act = async (done: string, action: () => Promise<unknown>): Promise<boolean> => {
  streams.update({ done: "", problem: "" })
  try {
    await action()
    streams.update({ done })
    return true
  } catch (cause) {
    streams.update({ problem: messageFor(cause) })
    return false
  } finally {
    await refresh()
  }
}

export interface Fields {
  readonly slug: string
  readonly title: string
  readonly description: string
  readonly visibility: string
  readonly chat: { readonly enabled: boolean; readonly slow_mode_seconds: number }
}

/** A job that has ended had another key. */
const showKey = (slug: string, key: string): void => {
  const { job } = knownOf(slug)
  known.set(slug, job?.state.value.isRecording === true ? { key, job } : { key })
  streams.update({ shownKey: { slug, key } })
}

export function dismissKey(): void {
  streams.update({ shownKey: undefined })
}

export function knownOf(slug: string): Known {
  return known.get(slug) ?? {}
}

export function rememberJob(slug: string, job: Job): void {
  remember(slug, { job })
}

/** Of the stream that went live with the job, whatever its slug is by now. */
export async function endOf(job: Job): Promise<void> {
  for (const [slug, { job: its }] of known) if (its === job) await end(slug)
}

/** Throws what the form shows. */
export async function create(fields: Fields): Promise<void> {
  const { key, stream } = await changeJson(Model.createdStream, "POST", streamsPath, fields)
  streams.update({ done: "The stream was created.", problem: "" })
  showKey(stream.slug, key)
  await refresh()
}

/** What the form begins with, and its version. */
export function read(slug: string): Promise<{ readonly value: Stream; readonly etag: string }> {
  return fetchTagged(streamOf, streamPath(slug))
}

/** Throws what the form shows: 412 if the stream has another version by now. */
export async function edit(slug: string, fields: Fields, etag: string): Promise<void> {
  const changed = await changeJson(streamOf, "PATCH", streamPath(slug), fields, { "if-match": etag })
  const its = known.get(slug)
  known.delete(slug)
  if (its !== undefined) known.set(changed.slug, its)
  streams.update({ done: "The stream was changed.", problem: "" })
  await refresh()
}

export function rotate(slug: string): Promise<boolean> {
  return act("The stream key was replaced.", async () => {
    const { key } = await changeJson(Model.streamKey, "POST", `${streamPath(slug)}/key`, {})
    showKey(slug, key)
  })
}

export function end(slug: string): Promise<boolean> {
  return act("The broadcast has ended. Its recording is prepared below.", () =>
    changeJson(streamOf, "POST", `${streamPath(slug)}/end`, {})
  )
}

export function remove(slug: string): Promise<boolean> {
  return act("The stream was deleted. Its recordings are kept.", async () => {
    await change("DELETE", streamPath(slug))
    if (streams.value.shownKey?.slug === slug) dismissKey()
  })
}

/** Polls until `stop`; then forgets all but the keys with which the page goes live. */
export async function follow(stop: AbortSignal): Promise<void> {
  const forget = () => {
    latest++
    streams.set(empty)
  }
  forget()
  stop.addEventListener("abort", forget, { once: true })
  while (!stop.aborted) {
    if (!document.hidden) await refresh(stop)
    await pause(pollMillis, stop)
  }
}

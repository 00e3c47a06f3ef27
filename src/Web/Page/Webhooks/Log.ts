/** One page of the log of a webhook's deliveries, polled while it is open, and the delivery that is open in it. */
import { pause } from "../Pause.ts"
import { change, changeJson, fetchJson, isAbort, messageFor } from "../Server.ts"
import { Store } from "../Store.ts"
import * as Model from "./Model.ts"
import type { rangeOf } from "./Wording.ts"

export interface Filter {
  /** Empty: all. */
  readonly state: string
  readonly type: string
}

export interface Log {
  readonly webhook: string
  readonly filter: Filter
  /** Where the page begins; undefined for the newest one. */
  readonly before: string | undefined
  /** Undefined before the first response. */
  readonly deliveries: ReadonlyArray<Model.Delivery> | undefined
  /** The `before` of the page with older deliveries. */
  readonly next: string | null
  /** The event whose attempts are shown. */
  readonly open: string | undefined
  readonly details: Model.Details | undefined
  readonly done: string
  readonly problem: string
  /** Why the log could not be read. */
  readonly message: string
}

const emptyOf = (webhook: string): Log => ({
  webhook,
  filter: { state: "", type: "" },
  before: undefined,
  deliveries: undefined,
  next: null,
  open: undefined,
  details: undefined,
  done: "",
  problem: "",
  message: ""
})

export const log = new Store<Log>(emptyOf(""))

const pollMillis = 2_000
const pageSize = 25

/** Of the latest refresh: responses to those before it are ignored. */
let latest = 0

const pathOf = (event = "") =>
  `${Model.pathOf(log.value.webhook)}/deliveries${event && `/${encodeURIComponent(event)}`}`

const query = ({ before, filter: { state, type } }: Log): string =>
  String(
    new URLSearchParams({
      limit: String(pageSize),
      ...(state === "" ? {} : { state }),
      ...(type === "" ? {} : { type }),
      ...(before === undefined ? {} : { before })
    })
  )

/** Changes with each attempt, and when the delivery is replayed. */
const versionOf = ({ attempts, next_attempt_at: next, state }: Model.Delivery) => `${attempts} ${state} ${next ?? ""}`

/** Attempts can be large, so they are read only when there are others. */
const areCurrent = (details: Model.Details | undefined, row: Model.Delivery): boolean =>
  details?.delivery.event_id === row.event_id && versionOf(details.delivery) === versionOf(row)

const refresh = async (signal?: AbortSignal): Promise<void> => {
  const turn = ++latest
  try {
    const { deliveries, next } = await fetchJson(Model.deliveries, `${pathOf()}?${query(log.value)}`, signal)
    if (turn !== latest) return
    log.update({ deliveries, next, message: "" })
    const row = deliveries.find(({ event_id: event }) => event === log.value.open)
    if (row === undefined || areCurrent(log.value.details, row)) return
    const details = await fetchJson(Model.details, pathOf(row.event_id), signal)
    if (turn === latest) log.update({ details })
  } catch (cause) {
    if (!isAbort(cause) && turn === latest) log.update({ message: messageFor(cause) })
  }
}

export function show(filter: Filter, before?: string): Promise<void> {
  log.update({ filter, before, deliveries: undefined, next: null, open: undefined, details: undefined })
  return refresh()
}

/** Opens a delivery, or closes the one that is open. */
export function toggle({ event_id: event }: Model.Delivery): Promise<void> {
  log.update({ open: log.value.open === event ? undefined : event, details: undefined })
  return refresh()
}

export async function replay({ event_id: event }: Model.Delivery): Promise<void> {
  log.update({ done: "", problem: "" })
  try {
    await change("POST", `${pathOf(event)}/replay`)
    log.update({ done: "The event is being sent again." })
  } catch (cause) {
    log.update({ problem: messageFor(cause) })
  }
  await refresh()
}

/** Throws what the form shows. `isDry`: only counts. */
export async function replayRange(range: Exclude<ReturnType<typeof rangeOf>, string>, isDry: boolean) {
  const json = { ...range, dry_run: isDry }
  const replayed = await changeJson(Model.replayed, "POST", `${Model.pathOf(log.value.webhook)}/replay`, json)
  if (!isDry) await refresh()
  return replayed
}

/** Polls until `stop`. */
export async function follow(webhook: string, stop: AbortSignal): Promise<void> {
  latest++
  log.set(emptyOf(webhook))
  while (!stop.aborted) {
    if (!document.hidden) await refresh(stop)
    await pause(pollMillis, stop)
  }
}

/** What the page says about webhooks and deliveries, and what its forms send. Pure functions. */
import { count, duration, moment } from "../Format.ts"
import type { Attempt, Delivery, Health, Replayed, Webhook } from "./Model.ts"

export interface Status {
  readonly kind: "good" | "bad" | "wait"
  readonly title: string
  /** Why, and what follows. Empty if the title says all. */
  readonly reason: string
}

const disabledStatus = ({ disabled_at: at, disabled_reason: reason }: Webhook): Status => {
  const since = at === null ? "" : ` since ${moment(at)}`
  const why =
    reason === "gone"
      ? "it answered 410, which means that it wants no more events"
      : "its deliveries failed for too long; it is probed once a day, and enabled when it answers with 2xx"
  return { kind: "bad", title: "Disabled", reason: `Disabled${since}: ${why}.` }
}

const failingStatus = ({ failing_since: since, failures }: Health): Status => {
  const failed = failures === 1 ? "The latest attempt failed" : `The latest ${count(failures)} attempts failed`
  return { kind: "bad", title: "Failing", reason: since === null ? `${failed}.` : `${failed}, since ${moment(since)}.` }
}

/** `health` undefined: not known yet. */
export function statusOf(webhook: Webhook, health: Health | undefined): Status {
  if (!webhook.enabled)
    return { kind: "wait", title: "Off", reason: "Nothing is sent, and events are not kept for it." }
  if (webhook.disabled_at !== null) return disabledStatus(webhook)
  if (health === undefined) return { kind: "wait", title: "Enabled", reason: "" }
  return health.state === "failing" ? failingStatus(health) : { kind: "good", title: "Healthy", reason: "" }
}

export function isActive({ disabled_at: disabledAt, enabled }: Webhook): boolean {
  return enabled && disabledAt === null
}

/** `100 %` only if all succeeded, and `0 %` only if none did. */
export function percent(rate: number): string {
  const tenths = Math.round(rate * 1_000)
  const shown = rate > 0 && tenths === 0 ? 1 : rate < 1 && tenths === 1_000 ? 999 : tenths
  return `${shown / 10} %`
}

export function millis(value: number): string {
  return value < 1_000 ? `${Math.round(value)} ms` : duration(value / 1_000)
}

/** The server counts to this number. */
const maxCounted = 10_000

export function pending(value: number): string {
  return value < maxCounted ? count(value) : `${count(maxCounted)} or more`
}

export function latency({ p50_millis: median, p95_millis: most }: Health): string {
  return median === null || most === null ? "–" : `${millis(median)}, 95 % within ${millis(most)}`
}

export function typesOf({ audio_seconds: audio, types }: Webhook): string {
  const named = types.includes("*") ? "All events" : types.join(", ")
  return audio === null ? named : `${named}; live audio in pieces of ${audio} s`
}

const deliveryStates: Readonly<Record<string, Omit<Status, "reason">>> = {
  pending: { kind: "wait", title: "Pending" },
  delivered: { kind: "good", title: "Delivered" },
  dead: { kind: "bad", title: "Dead" },
  expired: { kind: "wait", title: "Expired" }
}

export const states: ReadonlyArray<readonly [state: string, title: string]> = Object.entries(deliveryStates).map(
  ([state, { title }]) => [state, title]
)

export function deliveryStatus({ attempts, error, next_attempt_at: next, state, status }: Delivery): Status {
  const known = deliveryStates[state] ?? { kind: "wait", title: state }
  const made = attempts === 1 ? "1 attempt" : `${count(attempts)} attempts`
  const outcome = error ?? (status === null ? "" : `answered ${status}`)
  const later = next === null ? "" : `next ${moment(next)}`
  return { ...known, reason: [made, outcome, later].filter((part) => part !== "").join(" · ") }
}

export function attemptTitle({ at, millis: took, number, status }: Attempt): string {
  return `Attempt ${number}: ${status ?? "no response"} after ${millis(took)}, ${moment(at)}`
}

/** As `<input type="datetime-local">` has it: local time, to the minute. */
export function localTime(at: Date): string {
  const two = (value: number) => String(value).padStart(2, "0")
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`
  return `${day}T${two(at.getHours())}:${two(at.getMinutes())}`
}

export interface RangeForm {
  /** Local times; `to` is the last minute that is included. */
  readonly from: string
  readonly to: string
  /** One of `replayable`. */
  readonly states: string
}

export const replayable: ReadonlyArray<readonly [states: string, title: string]> = [
  ["dead", "Dead"],
  ["delivered", "Delivered"],
  ["dead,delivered,expired", "All that have ended"]
]

const minuteMillis = 60_000

/** The request for a replay, or what is wrong with the form. */
export function rangeOf({ from, states, to }: RangeForm) {
  const [first, last] = [new Date(from).getTime(), new Date(to).getTime()]
  if (Number.isNaN(first) || Number.isNaN(last)) return "Enter both times."
  if (last < first) return "The end is before the beginning."
  return {
    from: new Date(first).toISOString(),
    to: new Date(last + minuteMillis).toISOString(),
    states: states.split(",")
  }
}

const deliveriesOf = (value: number) => (value === 1 ? "1 delivery" : `${count(value)} deliveries`)

export function counted({ deliveries, is_complete: isComplete }: Replayed): string {
  if (deliveries === 0) return "There is no such delivery in this time, or its event is no longer kept."
  const sent = `${deliveriesOf(deliveries)} would be sent again, 100 a second`
  return isComplete ? `${sent}.` : `${sent}: the oldest ones. There are more.`
}

export function replaying({ deliveries, is_complete: isComplete }: Replayed): string {
  return `${deliveriesOf(deliveries)} will be sent again.${isComplete ? "" : " Repeat it for the others."}`
}

export interface Fields {
  readonly url: string
  /** `*`: all. */
  readonly types: ReadonlyArray<string>
  readonly description: string
  /** Empty: none. */
  readonly audioSeconds: string
  readonly rate: string
}

export const blank: Fields = { url: "", types: ["*"], description: "", audioSeconds: "", rate: "" }

export function fieldsOf({ audio_seconds: audio, description, rate, types, url }: Webhook): Fields {
  return { url, types, description, audioSeconds: String(audio ?? ""), rate: String(rate ?? "") }
}

const numberOrNull = (text: string) => (text === "" ? null : Number(text))

/** The body of the request that creates or changes a webhook. */
export function requestOf({ audioSeconds, description, rate, types, url }: Fields) {
  return {
    url: url.trim(),
    types,
    description,
    audio_seconds: numberOrNull(audioSeconds),
    rate: numberOrNull(rate)
  }
}

/** `*` replaces all others, and any other replaces `*`. */
export function toggled(types: ReadonlyArray<string>, type: string): ReadonlyArray<string> {
  if (types.includes(type)) return types.filter((each) => each !== type)
  return type === "*" ? ["*"] : [...types.filter((each) => each !== "*"), type]
}

/** What follows an attempt: delivered, another attempt at a time, or none. */
import { Duration } from "effect"

/** Between attempts. The first one is made at once; after the tenth the delivery is dead. */
const delays = [
  Duration.seconds(5),
  Duration.minutes(5),
  Duration.minutes(30),
  Duration.hours(2),
  Duration.hours(5),
  Duration.hours(10),
  Duration.hours(14),
  Duration.hours(20),
  Duration.hours(24)
]

/** A delay is this part longer or shorter, so that deliveries that failed together are not repeated together. */
const jitter = 0.2

/** A receiver can ask for a later retry, up to this time. */
const longestRetryAfter = Duration.days(1)

/** Milliseconds until the attempt after `attempts` failed ones, for `random` from 0 to 1. None after the last. */
export function delayAfter(attempts: number, random: number): number | undefined {
  const delay = delays[attempts - 1]
  return delay === undefined ? undefined : Math.round(Duration.toMillis(delay) * (1 + jitter * (2 * random - 1)))
}

/** The dates of RFC 9110, section 5.6.7; other forms that `Date` would read are not dates of HTTP. */
const httpDate =
  /^(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4}|[A-Z][a-z]+day, \d\d-[A-Z][a-z]{2}-\d\d|(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} [ \d]\d) \d\d:\d\d:\d\d(?: GMT| \d{4})$/

/**
 * `Retry-After` (RFC 9110, section 10.2.3) in milliseconds from `now`: seconds, or a date. 0 for the past and for what is
 * neither; a day at most.
 */
export function retryAfter(header: string | undefined, now: number): number {
  const text = header?.trim() ?? ""
  const longest = Duration.toMillis(longestRetryAfter)
  if (/^\d+$/.test(text)) return Math.min(Number(text) * 1_000, longest)
  if (!httpDate.test(text)) return 0
  // The form of asctime names no zone: it is UTC, too.
  const at = Date.parse(text.endsWith("GMT") ? text : `${text} GMT`)
  return Number.isFinite(at) ? Math.max(0, Math.min(at - now, longest)) : 0
}

export interface Answer {
  readonly status: number
  readonly retryAfter: string | undefined
}

/** `dead`: no attempt follows. `gone`: the endpoint wants no events any more. `dueIn` in milliseconds. */
export type Verdict =
  | { readonly state: "delivered" }
  | { readonly state: "pending"; readonly dueIn: number }
  | { readonly state: "dead"; readonly isGone: boolean }

const isRetryable = (status: number) => status === 408 || status === 429 || status >= 500 || status < 200

/** `answer` undefined: there was no response. `attempts`: failed ones before this one. */
export function judge(
  answer: Answer | undefined,
  attempts: number,
  { now, random }: { readonly now: number; readonly random: number }
): Verdict {
  const status = answer?.status ?? 0
  if (status >= 200 && status < 300) return { state: "delivered" }
  const delay = delayAfter(attempts + 1, random)
  if (!isRetryable(status) || delay === undefined) return { state: "dead", isGone: status === 410 }
  return { state: "pending", dueIn: Math.max(delay, retryAfter(answer?.retryAfter, now)) }
}

/** What an operator should know and do: what goes wrong now, and what went wrong since the node started. */
import type { Live } from "./Live.ts"
import { count } from "../Words.ts"

export interface Trouble {
  readonly title: string
  readonly advice: string
  /** It goes on. */
  readonly isNow: boolean
}

/** What grew within this time goes on. */
const recentSeconds = 60
/** Beyond this the store is slow. */
const slowUploadSeconds = 120

/** The gravest first. */
const advice: Readonly<Record<string, string>> = {
  "seconds lost":
    "Audio that waited for the store was given up, as the journal was full or damaged. Bring the store back, or give the journal more room: SPILLWAY_JOURNAL_BYTES.",
  "chunks deferred":
    "The store is slow or away. This audio is safe in the journal, and is uploaded when the store answers: look at the store and the way to it.",
  "uploads put off": "They failed, and are tried again by themselves. The server's log says why.",
  "captures refused":
    "All places were taken. Raise SPILLWAY_CAPTURES or SPILLWAY_CAPTURES_PER_USER, or run another node.",
  "operations turned away": "A bound below was full. If it is full again and again, raise it or run another node.",
  "torn journal segments": "A crash or a full disk broke off a write. What was acknowledged before it is kept."
}

/** The first that goes on is what the header says. */
const alarms = [
  ["seconds lost", "Audio is being lost"],
  ["captures refused", "Captures are refused"],
  ["chunks deferred", "The store is behind"],
  ["uploads put off", "Uploads fail"]
] as const

/** How much was counted lately. */
const grown = ({ history }: Live, name: string): number => {
  const last = history.at(-1)
  const first = history.find(({ at }) => at >= (last?.at ?? 0) - recentSeconds)
  const [now, then] = [last?.troubles[name] ?? 0, first?.troubles[name] ?? 0]
  // A node that was started again counts from 0.
  return now >= then ? now - then : now
}

/** Of those who don't see the node: whether their own audio waits. */
const isBehind = ({ now }: Live): boolean =>
  now?.captures.some(({ upload_lag: lag }) => lag > slowUploadSeconds) ?? false

/** In a few words, empty when all is well. */
export function alarmOf(live: Live): string {
  const [, words] = alarms.find(([name]) => grown(live, name) > 0) ?? []
  const failing = live.now?.node?.failing[0]?.name
  return words ?? (failing === undefined ? (isBehind(live) ? "The store is behind" : "") : `Trouble: ${failing}`)
}

/** What goes on first. */
export function troublesOf(live: Live): ReadonlyArray<Trouble> {
  const { failing = [], troubles = [] } = live.now?.node ?? {}
  const weights = Object.keys(advice)
  const counted = [...troubles]
    .sort((a, b) => weights.indexOf(a.name) - weights.indexOf(b.name))
    .filter((trouble) => trouble.count > 0)
    .map(({ count: times, name }) => ({
      title: `${count(Math.round(times))} ${name} since the start`,
      advice: advice[name] ?? "",
      isNow: grown(live, name) > 0
    }))
  const now = failing.map(({ name, reason }) => ({ title: name, advice: reason, isNow: true }))
  return [...now, ...counted.filter(({ isNow }) => isNow), ...counted.filter(({ isNow }) => !isNow)]
}

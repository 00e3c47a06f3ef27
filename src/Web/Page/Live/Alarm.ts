/** Problems of the node, current and since its start, with advice for the operator. */
import type { Live } from "./Live.ts"
import { count } from "../Format.ts"

export interface Trouble {
  readonly title: string
  readonly advice: string
  /** The problem is current. */
  readonly isNow: boolean
}

/** A counter that grew within this time is a current problem. */
const recentSeconds = 60
/** A longer upload lag means that the store is behind. */
export const slowUploadSeconds = 120

/** Advice by counter, most severe first. */
const advice: Readonly<Record<string, string>> = {
  "seconds lost":
    "Audio waiting for upload was dropped, as the journal was full or damaged. Restore the store, or raise SPILLWAY_JOURNAL_BYTES.",
  "chunks deferred":
    "The store is slow or unreachable. This audio is safe in the journal and is uploaded later. Check the store and the network.",
  "uploads failed": "They failed and are retried automatically. The server's log has the reason.",
  "captures rejected":
    "The limit of captures was reached. Raise SPILLWAY_CAPTURES or SPILLWAY_CAPTURES_PER_USER, or run another node.",
  "operations rejected": "A bound below was full. If this repeats, raise it or run another node.",
  "transcript segments dropped":
    "The database is slow or unreachable, or a device sends more than 50 transcript messages a second. Audio is not affected.",
  "relayed messages dropped":
    "The upstream pusher is down, slow or refusing. Audio is not affected. Check SPILLWAY_UPSTREAM_PUSHER and that server.",
  "merges given up":
    "Audio files could not be merged for download. They still play, but for what is missing. The log has the reason.",
  "merges failed": "They are retried automatically; the audio plays meanwhile. The server's log has the reason.",
  "torn journal segments": "A crash or a full disk interrupted a write. Audio acknowledged before it is kept."
}

/** The header shows the first current one. */
const alarms = [
  ["seconds lost", "Audio is being lost"],
  ["captures rejected", "Captures are rejected"],
  ["chunks deferred", "The store is behind"],
  ["uploads failed", "Uploads fail"]
] as const

/** Growth of a counter within `recentSeconds`. */
const grown = ({ history }: Live, name: string): number => {
  const last = history.at(-1)
  const first = history.find(({ at }) => at >= (last?.at ?? 0) - recentSeconds)
  const [now, then] = [last?.troubles[name] ?? 0, first?.troubles[name] ?? 0]
  // Counters restart at 0 with the node.
  return now >= then ? now - then : now
}

/** For users without the node's state: whether their own uploads lag. */
const isBehind = ({ now }: Live): boolean =>
  now?.captures.some(({ upload_lag: lag }) => lag > slowUploadSeconds) ?? false

/** The alarm in a few words, or empty. */
export function alarmOf(live: Live): string {
  const [, message] = alarms.find(([name]) => grown(live, name) > 0) ?? []
  const failing = live.now?.node?.failing[0]?.name
  return message ?? (failing === undefined ? (isBehind(live) ? "The store is behind" : "") : `Problem: ${failing}`)
}

/** Current problems first. */
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

/** A bound on what stays open for long, per node and per user. Nothing waits: one more is rejected. */
import { Duration, Effect, Schema } from "effect"
import type { Scope } from "effect"
import { BulkheadConfig } from "./BulkheadConfig.ts"
import { saturationLog } from "./SaturationLog.ts"

/** `setting` is the environment variable of the limit. */
const Limit = { limit: Schema.Int, setting: Schema.String }
interface Limit extends Schema.Struct.Type<typeof Limit> {}

/** All seats of the node or of the user are taken. `seats` names what they are for, in the plural. */
export class NoSeat extends Schema.TaggedError<NoSeat>()("NoSeat", {
  seats: Schema.String,
  of: Schema.Literals(["node", "user"]),
  ...Limit
}) {}

export interface Seats {
  /** Takes a seat for the user until the scope closes. */
  readonly take: (uid: string) => Effect.Effect<void, NoSeat, Scope.Scope>
  /** Takes a seat, and returns what releases it, to be called once. Undefined if none is free, which is no rejection. */
  readonly tryTake: (uid: string) => (() => void) | undefined
  readonly taken: () => number
}

interface Limits {
  readonly node: Limit
  readonly user: Limit
}

const counted = (seats: string, { node, user }: Limits) => {
  const perUser = new Map<string, number>()
  let taken = 0
  let rejected = 0

  const refuse = (of: "node" | "user", limit: Limit) => {
    rejected++
    return new NoSeat({ seats, of, ...limit })
  }

  /** The limit that is reached, if any; else the seat is taken. */
  const sit = (uid: string) => {
    const ofUser = perUser.get(uid) ?? 0
    if (taken >= node.limit) return "node"
    if (ofUser >= user.limit) return "user"
    perUser.set(uid, ofUser + 1)
    taken++
    return undefined
  }

  const leave = (uid: string) => {
    const left = (perUser.get(uid) ?? 1) - 1
    if (left > 0) perUser.set(uid, left)
    else perUser.delete(uid)
    taken--
  }

  const sitOrFail = (uid: string) =>
    Effect.suspend(() => {
      const reached = sit(uid)
      return reached === undefined ? Effect.void : refuse(reached, reached === "node" ? node : user)
    })

  return {
    take: (uid: string) => Effect.acquireRelease(sitOrFail(uid), () => Effect.sync(() => leave(uid))),
    tryTake: (uid: string) => (sit(uid) === undefined ? () => leave(uid) : undefined),
    taken: () => taken,
    rejected: () => rejected
  }
}

/** Reported as a bulkhead in metrics and warnings until the scope closes. */
export const make = Effect.fnUntraced(function* (
  name: string,
  limits: Limits
): Effect.fn.Return<Seats, never, BulkheadConfig | Scope.Scope> {
  const { warnEvery } = yield* BulkheadConfig
  const { rejected, take, taken, tryTake } = counted(name, limits)
  yield* saturationLog(name, warnEvery, () => ({
    permits: limits.node.limit,
    active: taken(),
    waiting: 0,
    waits: 0,
    waited: Duration.zero,
    rejected: rejected()
  }))
  return { take, taken, tryTake }
})

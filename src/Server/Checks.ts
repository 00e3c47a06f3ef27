/** The readiness checks of the node: database, object store, journal. */
import { Effect, Fiber, Layer, Metric, Option } from "effect"
import { Db, DbCaller, healthCaller } from "../Db.ts"
import { Recording } from "../Recording.ts"
import { Degraded, Readiness } from "../Readiness.ts"
import { ReadinessConfig } from "../Readiness/ReadinessConfig.ts"
import { Storage, type StorageRefused } from "../Storage.ts"

const up = Metric.gauge("spillway_storage_up", { description: "1 if the object store works, else 0" })

type Fault = Degraded | StorageRefused

/**
 * Probes the store at an interval, because readiness needs no key and each listing is billed. An unreachable store is
 * degraded, because audio waits in the journal; a store that rejects requests needs an operator.
 */
const storeProbe = Effect.gen(function* () {
  const storage = yield* Storage
  const { checkTimeout, storeInterval } = yield* ReadinessConfig
  let fault = Option.none<Fault>()

  const report = Effect.fnUntraced(function* (now: Option.Option<Fault>) {
    if (Option.isSome(now) && Option.isNone(fault))
      yield* Effect.logWarning(`the object store is not available: ${now.value.message}`)
    if (Option.isNone(now) && Option.isSome(fault)) yield* Effect.logInfo("the object store is available again")
    fault = now
    yield* Metric.update(up, Option.isNone(now) ? 1 : 0)
  })

  // A listing, because a missing bucket and a missing object get the same response to a request for one object.
  const ask = storage.list("readiness/", { limit: 1 }).pipe(
    Effect.as(Option.none<Fault>()),
    Effect.catchTags({
      StorageRefused: (refused) => Effect.succeedSome<Fault>(refused),
      StorageUnavailable: ({ message }) => Effect.succeedSome<Fault>(new Degraded({ reason: message }))
    })
  )

  /** The store's retries can take a minute before they fail with the reason. */
  const probe = Effect.gen(function* () {
    const asked = yield* Effect.forkChild(ask)
    const soon = yield* Effect.timeoutOption(Fiber.join(asked), checkTimeout)
    if (Option.isSome(soon)) return yield* report(soon.value)
    if (Option.isNone(fault))
      yield* report(Option.some(new Degraded({ reason: `The store ${storage.bucket} does not respond.` })))
    yield* report(yield* Fiber.join(asked))
  })

  yield* Effect.forkScoped(Effect.forever(Effect.andThen(probe, Effect.sleep(storeInterval))))
  return {
    /** Fails with the result of the latest probe. */
    check: Effect.suspend(() => Option.match(fault, { onNone: () => Effect.void, onSome: (why) => Effect.fail(why) }))
  }
})

export const layer = Layer.effectDiscard(
  Effect.gen(function* () {
    const readiness = yield* Readiness
    const db = yield* Db
    const recording = yield* Recording
    yield* readiness.add(
      "database",
      Effect.provideService(
        db.read("Readiness", (sql) => sql`select 1`),
        DbCaller,
        healthCaller
      )
    )
    yield* readiness.add("storage", (yield* storeProbe).check)
    yield* readiness.add(
      "journal",
      Effect.suspend(() => {
        const { budget, bytes, failing } = recording.journal()
        if (failing) return Effect.fail("The last write to the journal failed. The log has the reason.")
        return bytes < budget
          ? Effect.void
          : Effect.fail(
              `The journal's budget of ${budget} bytes is spent. Raise SPILLWAY_JOURNAL_BYTES, or make the object store available.`
            )
      })
    )
  })
)

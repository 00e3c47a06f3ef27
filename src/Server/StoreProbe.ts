/** Whether the store can be used. It is asked now and then, not by whoever asks for readiness: that needs no key, and a listing is billed. */
import { Effect, Fiber, Metric, Option } from "effect"
import { Storage, type StorageRefused } from "../Storage.ts"
import { Degraded } from "../Readiness.ts"
import { ReadinessConfig } from "../Readiness/ReadinessConfig.ts"

const up = Metric.gauge("spillway_store_up", { description: "1 while the object store does what it is asked, else 0" })

type Fault = Degraded | StorageRefused

/** Audio waits in the journal while the store can't be reached. What it refuses, no waiting mends. */
export const make = Effect.gen(function* () {
  const storage = yield* Storage
  const { checkTimeout, storeInterval } = yield* ReadinessConfig
  let fault = Option.none<Fault>()

  const tell = Effect.fnUntraced(function* (now: Option.Option<Fault>) {
    if (Option.isSome(now) && Option.isNone(fault))
      yield* Effect.logWarning(`the object store can't be used now: ${now.value.message}`)
    if (Option.isNone(now) && Option.isSome(fault)) yield* Effect.logInfo("the object store can be used again")
    fault = now
    yield* Metric.update(up, Option.isNone(now) ? 1 : 0)
  })

  // A listing, because a bucket that is gone answers a look at an object as if only that were missing.
  const ask = storage.list("readiness/", { limit: 1 }).pipe(
    Effect.as(Option.none<Fault>()),
    Effect.catchTags({
      StorageRefused: (refused) => Effect.succeedSome<Fault>(refused),
      StorageUnavailable: ({ message }) => Effect.succeedSome<Fault>(new Degraded({ reason: message }))
    })
  )

  /** The store's own attempts may go on for a minute before they tell the reason. */
  const look = Effect.gen(function* () {
    const asked = yield* Effect.forkChild(ask)
    const soon = yield* Effect.timeoutOption(Fiber.join(asked), checkTimeout)
    if (Option.isSome(soon)) return yield* tell(soon.value)
    if (Option.isNone(fault))
      yield* tell(Option.some(new Degraded({ reason: `The store ${storage.bucket} does not answer.` })))
    yield* tell(yield* Fiber.join(asked))
  })

  yield* Effect.forkScoped(Effect.forever(Effect.andThen(look, Effect.sleep(storeInterval))))
  return {
    /** Fails with what was found last. */
    check: Effect.suspend(() => Option.match(fault, { onNone: () => Effect.void, onSome: (why) => Effect.fail(why) }))
  }
})

/** Wraps a store with metrics. It forks no fiber, and a piece of a stream costs one addition. */
import { Clock, Effect, Exit, Metric, Option, Stream } from "effect"
import type { ByteRange, NewObject, Storage, StorageError } from "../Storage.ts"
import * as StorageMetrics from "./StorageMetrics.ts"

type Store = Storage["Service"]

const outcomes = {
  ObjectNotFound: "missing",
  ObjectConflict: "conflict",
  ObjectDamaged: "damaged",
  StorageUnavailable: "unavailable",
  StorageRefused: "refused"
} as const

/** As stores bill them. */
const classOf = (operation: string): "a" | "b" | "free" => {
  if (operation === "get" || operation === "head") return "b"
  return operation === "remove" || operation === "removeMany" || operation === "signedUrl" ? "free" : "a"
}

const outcomeOf = (exit: Exit.Exit<unknown, StorageError>): string => {
  if (Exit.isSuccess(exit)) return "ok"
  return Option.match(Exit.findErrorOption(exit), {
    onNone: () => (Exit.hasInterrupts(exit) ? "interrupted" : "failed"),
    onSome: ({ _tag }) => outcomes[_tag]
  })
}

export const of = Effect.fnUntraced(function* (store: Store) {
  const clock = yield* Clock.Clock
  const context = yield* Effect.context()
  /** By operation and outcome. Both are constants in the source, which bounds the map. */
  const timers = new Map<string, typeof StorageMetrics.duration>()

  const counters = {
    a: Metric.withAttributes(StorageMetrics.operations, { class: "a" }),
    b: Metric.withAttributes(StorageMetrics.operations, { class: "b" }),
    free: Metric.withAttributes(StorageMetrics.operations, { class: "free" })
  }

  const timerOf = (operation: string, outcome: string) => {
    const name = `${operation} ${outcome}`
    const known = timers.get(name)
    if (known !== undefined) return known
    const made = Metric.withAttributes(StorageMetrics.duration, { operation, outcome })
    timers.set(name, made)
    return made
  }

  const now = () => Number(clock.monotonicTimeNanosUnsafe())
  const end = (operation: string, exit: Exit.Exit<unknown, StorageError>, nanos: number) => {
    counters[classOf(operation)].updateUnsafe(1, context)
    timerOf(operation, outcomeOf(exit)).updateUnsafe(nanos / 1e9, context)
  }

  const measure = <A, E extends StorageError>(operation: string, effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.suspend(() => {
      const began = now()
      return Effect.onExit(effect, (exit) => Effect.sync(() => end(operation, exit, now() - began)))
    })

  const put = (object: NewObject) => {
    const size = object.body instanceof Uint8Array ? object.body.length : object.body.size
    const count = Effect.sync(() => StorageMetrics.writtenBytes.updateUnsafe(size, context))
    return measure(
      "put",
      Effect.tap(store.put(object), () => count)
    )
  }

  const get = (key: string, range?: ByteRange) =>
    Stream.suspend(() => {
      const began = now()
      let first = 0
      let bytes = 0
      const counted = Stream.transformPull(store.get(key, range), (pull) =>
        Effect.succeed(
          Effect.map(pull, (pieces) => {
            if (bytes === 0) first = now()
            for (const piece of pieces) bytes += piece.length
            return pieces
          })
        )
      )
      return Stream.onExit(counted, (exit) =>
        Effect.sync(() => {
          end("get", exit, (bytes === 0 ? now() : first) - began)
          StorageMetrics.readBytes.updateUnsafe(bytes, context)
        })
      )
    })

  const read = (key: string, range: ByteRange) =>
    Effect.suspend(() => {
      const began = now()
      return Effect.onExitPrimitive(store.read(key, range), (exit) => {
        end("get", exit, now() - began)
        if (Exit.isSuccess(exit)) StorageMetrics.readBytes.updateUnsafe(exit.value.length, context)
        return undefined
      })
    })

  const measured: Store = {
    bucket: store.bucket,
    isComposer: store.isComposer,
    freeBytes: store.freeBytes,
    put,
    get,
    read,
    head: (key) => measure("head", store.head(key)),
    list: (prefix, options) => measure("list", store.list(prefix, options)),
    compose: (target, sources) => measure("compose", store.compose(target, sources)),
    setMetadata: (key, metadata) => measure("setMetadata", store.setMetadata(key, metadata)),
    remove: (key, options) => measure("remove", store.remove(key, options)),
    removeMany: (keys) => measure("removeMany", store.removeMany(keys)),
    signedUrl: (key, options) => measure("signedUrl", store.signedUrl(key, options))
  }
  return measured
})

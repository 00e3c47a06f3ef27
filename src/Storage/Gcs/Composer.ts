/** Composes objects in the store, in steps when there are more than 32 sources. Intermediate objects are removed. */
import { Effect, Option } from "effect"
import { createHash } from "node:crypto"
import { ObjectConflict } from "../../Storage.ts"
import type { NewObjectHead, ObjectHead } from "../../Storage.ts"
import * as Bucket from "./Bucket.ts"
import * as Crc32c from "../Crc32c.ts"
import { transient, fromStatus, translate } from "./Fault.ts"
import type { GcsFault } from "./Fault.ts"
import * as Http from "./Http.ts"
import * as Policy from "./Policy.ts"
import * as Validation from "../Validation.ts"

/** Sources that one compose request accepts (JSON API, `objects.compose`). */
const maxSources = 32

/** One attempt. None when the key already has an object; fails with 404 when a source is missing. */
const once = (bucket: Bucket.Bucket, target: NewObjectHead, sources: ReadonlyArray<string>) => {
  const { contentType, key, metadata } = target
  const call = {
    method: "POST",
    path: `${Bucket.path(bucket, key)}/compose?ifGenerationMatch=0&fields=${Bucket.fields}`,
    body: Http.jsonBody({ sourceObjects: sources.map((name) => ({ name })), destination: { contentType, metadata } })
  } as const
  return Effect.map(
    Effect.flatMap(bucket.http.text(call), Bucket.object).pipe(Bucket.noneOn(412)),
    Option.map(({ head }) => head)
  )
}

const isMadeOf = (object: ObjectHead, parts: ReadonlyArray<ObjectHead>): boolean =>
  Validation.isSamePut(object, {
    size: parts.reduce((sum, part) => sum + part.size, 0),
    crc32c: parts.reduce((sum, part) => Crc32c.join(sum, part.crc32c, part.size), 0)
  })

/** Accepts an intermediate object that an earlier attempt left; removes one with other bytes. */
const checkExisting = Effect.fnUntraced(function* (bucket: Bucket.Bucket, key: string, sources: ReadonlyArray<string>) {
  const lookup = (name: string) => Bucket.lookup(bucket, name)
  const found = yield* lookup(key)
  const parts = yield* Effect.forEach(sources, lookup, { concurrency: bucket.window })
  if (parts.some(Option.isNone)) return yield* fromStatus(404, "a source is missing")
  if (Option.isSome(found)) {
    const { head } = found.value
    const heads = parts.flatMap(Option.toArray).map((part) => part.head)
    if (isMadeOf(head, heads)) return undefined
    yield* Bucket.remove(bucket, key, head.generation)
  }
  return yield* transient("an intermediate object was removed or replaced")
})

/** Creates an intermediate object, or finds the one of an earlier attempt. */
const composeGroup = (bucket: Bucket.Bucket, key: string, sources: ReadonlyArray<string>) => {
  const made = Effect.flatMap(
    once(bucket, { key, contentType: "application/octet-stream", metadata: {} }, sources),
    Option.match({ onNone: () => checkExisting(bucket, key, sources), onSome: () => Effect.void })
  )
  return Effect.as(Policy.retry(bucket.config, made), key)
}

const groups = (keys: ReadonlyArray<string>): ReadonlyArray<ReadonlyArray<string>> =>
  Array.from({ length: Math.ceil(keys.length / maxSources) }, (_, i) =>
    keys.slice(i * maxSources, (i + 1) * maxSources)
  )

/** At most 32 objects with the same bytes. `name` names a group and records the name for removal. */
const reduce = (
  bucket: Bucket.Bucket,
  sources: ReadonlyArray<string>,
  name: (group: ReadonlyArray<string>) => string
): Effect.Effect<ReadonlyArray<string>, GcsFault> =>
  sources.length <= maxSources
    ? Effect.succeed(sources)
    : Effect.forEach(groups(sources), (group) => composeGroup(bucket, name(group), group), {
        concurrency: bucket.window
      }).pipe(Effect.flatMap((keys) => reduce(bucket, keys, name)))

/** One attempt for each object. One that stays is removed when the same target is composed again. */
const removeIntermediates = (bucket: Bucket.Bucket, keys: ReadonlyArray<string>) =>
  Effect.forEach(
    keys,
    (key) =>
      Bucket.lookup(bucket, key).pipe(
        Effect.flatMap(
          Option.match({ onNone: () => Effect.void, onSome: ({ head }) => Bucket.remove(bucket, key, head.generation) })
        ),
        Effect.catchTag("GcsFault", (fault) =>
          Effect.logWarning("An intermediate object could not be removed", { key, fault })
        )
      ),
    { concurrency: bucket.window, discard: true }
  )

/** For a target that exists, or whose sources are missing: success if the target equals its sources. */
const compareExisting = Effect.fnUntraced(function* (
  bucket: Bucket.Bucket,
  at: Validation.At,
  sources: ReadonlyArray<string>
) {
  // Fails with the key of the first missing source.
  const parts = yield* Effect.forEach(sources, (key) => Bucket.head(bucket, { ...at, key }), {
    concurrency: bucket.window
  })
  const existing = yield* Effect.catchTag(Bucket.head(bucket, at), "ObjectNotFound", () =>
    Effect.fail(translate(at)(transient("the target was removed meanwhile")))
  )
  return isMadeOf(existing, parts) ? existing : yield* new ObjectConflict(at)
})

export const compose = Effect.fnUntraced(function* (
  bucket: Bucket.Bucket,
  at: Validation.At,
  target: NewObjectHead,
  sources: ReadonlyArray<string>
) {
  yield* Validation.checkKey(at)
  yield* Validation.checkMetadata(at, target)
  yield* Validation.checkSources(at, sources)
  const made: Array<string> = []
  /** Deterministic, so that a retry finds what a killed process left. */
  const name = (group: ReadonlyArray<string>) => {
    const hash = createHash("sha256")
      .update([target.key, ...group].join("\n"))
      .digest("hex")
    const key = `${target.key.slice(0, target.key.lastIndexOf("/") + 1)}composing-${hash.slice(0, 32)}`
    made.push(key)
    return key
  }
  const cleanup = Effect.timeoutOption(
    Effect.suspend(() => removeIntermediates(bucket, made)),
    bucket.config.deadline
  )
  const composed = yield* reduce(bucket, sources, name).pipe(
    Effect.flatMap((few) => Policy.retry(bucket.config, once(bucket, target, few))),
    Bucket.noneOn(404),
    // After a transient fault, the next attempt reuses the intermediate objects.
    Effect.tapError((fault) => (fault.isTransient ? Effect.void : cleanup)),
    Effect.mapError(translate(at))
  )
  yield* cleanup
  return yield* Option.match(Option.flatten(composed), {
    onNone: () => compareExisting(bucket, at, sources),
    onSome: Effect.succeed
  })
})

/** Objects put together in the store: 32 at a time, in steps when there are more. What the steps made is removed. */
import { Effect, Option } from "effect"
import { createHash } from "node:crypto"
import { ObjectConflict } from "../../Storage.ts"
import type { NewObjectHead, ObjectHead } from "../../Storage.ts"
import * as Crc from "../Crc.ts"
import * as Bucket from "./Bucket.ts"
import { transient, ofStatus, translate } from "./Fault.ts"
import type { GcsFault } from "./Fault.ts"
import * as Http from "./Http.ts"
import * as Policy from "./Policy.ts"
import * as Rules from "../Rules.ts"

/** Google composes so many at a time. */
const most = 32

/** One attempt. None: there is an object under the key. Fails with 404 when a source is missing. */
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

/** Whether an object holds what the parts make. */
const isMadeOf = (object: ObjectHead, parts: ReadonlyArray<ObjectHead>): boolean =>
  Rules.isSamePut(object, {
    size: parts.reduce((sum, part) => sum + part.size, 0),
    crc32c: parts.reduce((sum, part) => Crc.join(sum, part.crc32c, part.size), 0)
  })

/** An object between that is there already: an answer was lost, or nobody came to remove it. Another one has to go. */
const checked = Effect.fnUntraced(function* (bucket: Bucket.Bucket, key: string, sources: ReadonlyArray<string>) {
  const look = (name: string) => Bucket.lookup(bucket, name)
  const found = yield* look(key)
  const parts = yield* Effect.forEach(sources, look, { concurrency: bucket.window })
  if (parts.some(Option.isNone)) return yield* ofStatus(404, "a source is missing")
  if (Option.isSome(found)) {
    const { head } = found.value
    const heads = parts.flatMap(Option.toArray).map((part) => part.head)
    if (isMadeOf(head, heads)) return undefined
    yield* Bucket.remove(bucket, key, head.generation)
  }
  return yield* transient("an object between went, or was another one")
})

/** An object between, made or found. */
const between = (bucket: Bucket.Bucket, key: string, sources: ReadonlyArray<string>) => {
  const made = Effect.flatMap(
    once(bucket, { key, contentType: "application/octet-stream", metadata: {} }, sources),
    Option.match({ onNone: () => checked(bucket, key, sources), onSome: () => Effect.void })
  )
  return Effect.as(Policy.retry(bucket.config, made), key)
}

const groups = (keys: ReadonlyArray<string>): ReadonlyArray<ReadonlyArray<string>> =>
  Array.from({ length: Math.ceil(keys.length / most) }, (_, i) => keys.slice(i * most, (i + 1) * most))

/** At most 32 objects with the same bytes. `name` gives a group's name, and remembers it for the removal. */
const reduce = (
  bucket: Bucket.Bucket,
  sources: ReadonlyArray<string>,
  name: (group: ReadonlyArray<string>) => string
): Effect.Effect<ReadonlyArray<string>, GcsFault> =>
  sources.length <= most
    ? Effect.succeed(sources)
    : Effect.forEach(groups(sources), (group) => between(bucket, name(group), group), {
        concurrency: bucket.window
      }).pipe(Effect.flatMap((keys) => reduce(bucket, keys, name)))

/** One attempt each; what stays goes when the same is composed again. */
const tidy = (bucket: Bucket.Bucket, keys: ReadonlyArray<string>) =>
  Effect.forEach(
    keys,
    (key) =>
      Bucket.lookup(bucket, key).pipe(
        Effect.flatMap(
          Option.match({ onNone: () => Effect.void, onSome: ({ head }) => Bucket.remove(bucket, key, head.generation) })
        ),
        Effect.catchTag("GcsFault", (fault) => Effect.logWarning("a part of a composed object stays", { key, fault }))
      ),
    { concurrency: bucket.window, discard: true }
  )

/** For a target that is there, or whose sources are not: the same, if it is what they make. */
const compared = Effect.fnUntraced(function* (bucket: Bucket.Bucket, at: Rules.At, sources: ReadonlyArray<string>) {
  // Names the first source that is missing.
  const parts = yield* Effect.forEach(sources, (key) => Bucket.head(bucket, { ...at, key }), {
    concurrency: bucket.window
  })
  const existing = yield* Effect.catchTag(Bucket.head(bucket, at), "ObjectNotFound", () =>
    Effect.fail(translate(at)(transient("what is composed came and went")))
  )
  return isMadeOf(existing, parts) ? existing : yield* new ObjectConflict(at)
})

export const compose = Effect.fnUntraced(function* (
  bucket: Bucket.Bucket,
  at: Rules.At,
  target: NewObjectHead,
  sources: ReadonlyArray<string>
) {
  yield* Rules.key(at)
  yield* Rules.metadata(at, target)
  yield* Rules.sources(at, sources)
  const made: Array<string> = []
  /** The same for the same, so that what a killed process leaves is found. */
  const name = (group: ReadonlyArray<string>) => {
    const hash = createHash("sha256")
      .update([target.key, ...group].join("\n"))
      .digest("hex")
    const key = `${target.key.slice(0, target.key.lastIndexOf("/") + 1)}composing-${hash.slice(0, 32)}`
    made.push(key)
    return key
  }
  const tidying = Effect.timeoutOption(
    Effect.suspend(() => tidy(bucket, made)),
    bucket.config.deadline
  )
  const composed = yield* reduce(bucket, sources, name).pipe(
    Effect.flatMap((few) => Policy.retry(bucket.config, once(bucket, target, few))),
    Bucket.noneOn(404),
    // After a fault that may pass, whoever composes again goes on with what was made.
    Effect.tapError((fault) => (fault.isTransient ? Effect.void : tidying)),
    Effect.mapError(translate(at))
  )
  yield* tidying
  return yield* Option.match(Option.flatten(composed), {
    onNone: () => compared(bucket, at, sources),
    onSome: Effect.succeed
  })
})

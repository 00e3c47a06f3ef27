/** Objects put together in the store: 32 at a time, in steps when there are more. What the steps made is removed. */
import { Effect, Option } from "effect"
import { createHash } from "node:crypto"
import { ObjectConflict } from "../../Storage.ts"
import type { NewObjectHead, ObjectHead } from "../../Storage.ts"
import * as Crc from "../Crc.ts"
import * as Gcs from "./Gcs.ts"
import { cut, ofStatus, translate } from "./Fault.ts"
import type { GcsFault } from "./Fault.ts"
import { jsonBody } from "./Http.ts"
import * as GcsObject from "./Object.ts"
import * as GcsPolicy from "./Policy.ts"
import * as Rules from "../Rules.ts"

/** Google composes so many at a time. */
const most = 32

/** One attempt. None: there is an object under the key. Fails with 404 when a source is missing. */
const once = (gcs: Gcs.Gcs, target: NewObjectHead, sources: ReadonlyArray<string>) => {
  const { contentType, key, metadata } = target
  const call = {
    method: "POST",
    path: `${Gcs.path(gcs, key)}/compose?ifGenerationMatch=0&fields=${GcsObject.fields}`,
    body: jsonBody({ sourceObjects: sources.map((name) => ({ name })), destination: { contentType, metadata } })
  } as const
  return Effect.map(
    Effect.flatMap(gcs.http.text(call), GcsObject.object).pipe(Gcs.unless(412)),
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
const checked = Effect.fnUntraced(function* (gcs: Gcs.Gcs, key: string, sources: ReadonlyArray<string>) {
  const look = (name: string) => Gcs.look(gcs, name)
  const found = yield* look(key)
  const parts = yield* Effect.forEach(sources, look, { concurrency: gcs.window })
  if (parts.some(Option.isNone)) return yield* ofStatus(404, "a source is missing")
  if (Option.isSome(found)) {
    const { head } = found.value
    const heads = parts.flatMap(Option.toArray).map((part) => part.head)
    if (isMadeOf(head, heads)) return undefined
    yield* Gcs.remove(gcs, key, head.generation)
  }
  return yield* cut("an object between went, or was another one")
})

/** An object between, made or found. */
const between = (gcs: Gcs.Gcs, key: string, sources: ReadonlyArray<string>) => {
  const made = Effect.flatMap(
    once(gcs, { key, contentType: "application/octet-stream", metadata: {} }, sources),
    Option.match({ onNone: () => checked(gcs, key, sources), onSome: () => Effect.void })
  )
  return Effect.as(GcsPolicy.retry(gcs.config, made), key)
}

const groups = (keys: ReadonlyArray<string>): ReadonlyArray<ReadonlyArray<string>> =>
  Array.from({ length: Math.ceil(keys.length / most) }, (_, i) => keys.slice(i * most, (i + 1) * most))

/** At most 32 objects with the same bytes. `name` gives a group's name, and remembers it for the removal. */
const reduce = (
  gcs: Gcs.Gcs,
  sources: ReadonlyArray<string>,
  name: (group: ReadonlyArray<string>) => string
): Effect.Effect<ReadonlyArray<string>, GcsFault> =>
  sources.length <= most
    ? Effect.succeed(sources)
    : Effect.forEach(groups(sources), (group) => between(gcs, name(group), group), { concurrency: gcs.window }).pipe(
        Effect.flatMap((keys) => reduce(gcs, keys, name))
      )

/** One attempt each; what stays goes when the same is composed again. */
const tidy = (gcs: Gcs.Gcs, keys: ReadonlyArray<string>) =>
  Effect.forEach(
    keys,
    (key) =>
      Gcs.look(gcs, key).pipe(
        Effect.flatMap(
          Option.match({ onNone: () => Effect.void, onSome: ({ head }) => Gcs.remove(gcs, key, head.generation) })
        ),
        Effect.catchTag("GcsFault", (fault) => Effect.logWarning("a part of a composed object stays", { key, fault }))
      ),
    { concurrency: gcs.window, discard: true }
  )

/** For a target that is there, or whose sources are not: the same, if it is what they make. */
const compared = Effect.fnUntraced(function* (gcs: Gcs.Gcs, at: Rules.At, sources: ReadonlyArray<string>) {
  // Names the first source that is missing.
  const parts = yield* Effect.forEach(sources, (key) => Gcs.head(gcs, { ...at, key }), { concurrency: gcs.window })
  const existing = yield* Effect.catchTag(Gcs.head(gcs, at), "ObjectNotFound", () =>
    Effect.fail(translate(at)(cut("what is composed came and went")))
  )
  return isMadeOf(existing, parts) ? existing : yield* new ObjectConflict(at)
})

export const compose = Effect.fnUntraced(function* (
  gcs: Gcs.Gcs,
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
    Effect.suspend(() => tidy(gcs, made)),
    gcs.config.deadline
  )
  const composed = yield* reduce(gcs, sources, name).pipe(
    Effect.flatMap((few) => GcsPolicy.retry(gcs.config, once(gcs, target, few))),
    Gcs.unless(404),
    // After a fault that may pass, whoever composes again goes on with what was made.
    Effect.tapError((fault) => (fault.isTransient ? Effect.void : tidying)),
    Effect.mapError(translate(at))
  )
  yield* tidying
  return yield* Option.match(Option.flatten(composed), {
    onNone: () => compared(gcs, at, sources),
    onSome: Effect.succeed
  })
})

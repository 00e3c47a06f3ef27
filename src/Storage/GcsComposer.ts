/** Objects put together in the store: 32 at a time, in steps when there are more. What the steps made is removed. */
import { Effect, Option } from "effect"
import { randomUUID } from "node:crypto"
import { ObjectConflict } from "../Storage.ts"
import type { NewObjectHead, ObjectHead } from "../Storage.ts"
import * as Crc from "./Crc.ts"
import * as Gcs from "./Gcs.ts"
import { cut, translate } from "./GcsFault.ts"
import type { GcsFault } from "./GcsFault.ts"
import { jsonBody } from "./GcsHttp.ts"
import * as GcsObject from "./GcsObject.ts"
import * as GcsPolicy from "./GcsPolicy.ts"
import * as Rules from "./Rules.ts"

/** Google composes so many at a time. */
const most = 32

/** None: there is an object under the key. Fails with 404 when a source is missing. */
const once = (gcs: Gcs.Gcs, target: NewObjectHead, sources: ReadonlyArray<string>) => {
  const { contentType, key, metadata } = target
  const call = {
    method: "POST",
    path: `${Gcs.path(gcs, key)}/compose?ifGenerationMatch=0&fields=${GcsObject.fields}`,
    body: jsonBody({ sourceObjects: sources.map((name) => ({ name })), destination: { contentType, metadata } })
  } as const
  const composed = GcsPolicy.retry(
    gcs.config,
    Effect.flatMap(gcs.http.text(call), GcsObject.object).pipe(Gcs.unless(412))
  )
  return Effect.map(
    composed,
    Option.map(({ head }) => head)
  )
}

/** An object between. Nobody else knows its name: if it is there, an answer was lost. */
const between = Effect.fnUntraced(function* (gcs: Gcs.Gcs, key: string, sources: ReadonlyArray<string>) {
  const made = yield* once(gcs, { key, contentType: "application/octet-stream", metadata: {} }, sources)
  if (Option.isNone(made) && Option.isNone(yield* GcsPolicy.retry(gcs.config, Gcs.look(gcs, key)))) {
    return yield* cut("an object was there and went")
  }
  return key
})

const groups = (keys: ReadonlyArray<string>): ReadonlyArray<ReadonlyArray<string>> =>
  Array.from({ length: Math.ceil(keys.length / most) }, (_, i) => keys.slice(i * most, (i + 1) * most))

/** At most 32 objects with the same bytes. `names` gives a new name, and remembers it for the removal. */
const reduce = (
  gcs: Gcs.Gcs,
  sources: ReadonlyArray<string>,
  names: () => string
): Effect.Effect<ReadonlyArray<string>, GcsFault> =>
  sources.length <= most
    ? Effect.succeed(sources)
    : Effect.forEach(groups(sources), (group) => between(gcs, names(), group), { concurrency: gcs.window }).pipe(
        Effect.flatMap((keys) => reduce(gcs, keys, names))
      )

/** One attempt each. What stays is in the target's directory, and is removed with it. */
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

/** For a target that is there: the same, if it is what the sources make. */
const compared = Effect.fnUntraced(function* (gcs: Gcs.Gcs, at: Rules.At, heads: ReadonlyArray<ObjectHead>) {
  const existing = yield* Gcs.head(gcs, at)
  const size = heads.reduce((sum, head) => sum + head.size, 0)
  const crc32c = heads.reduce((sum, head) => Crc.join(sum, head.crc32c, head.size), 0)
  return Rules.isSamePut(existing, { size, crc32c }) ? existing : yield* new ObjectConflict(at)
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
  const names = () => {
    const name = `${target.key.slice(0, target.key.lastIndexOf("/") + 1)}composing-${randomUUID()}`
    made.push(name)
    return name
  }
  /** Names the first source that is missing. */
  const heads = Effect.forEach(sources, (key) => Gcs.head(gcs, { ...at, key }), { concurrency: gcs.window })
  const composed = yield* reduce(gcs, sources, names).pipe(
    Effect.flatMap((few) => once(gcs, target, few)),
    Gcs.unless(404),
    Effect.mapError(translate(at)),
    Effect.ensuring(Effect.suspend(() => tidy(gcs, made)))
  )
  if (Option.isNone(composed)) {
    yield* heads
    return yield* translate(at)(cut("a source came and went"))
  }
  if (Option.isNone(composed.value)) return yield* compared(gcs, at, yield* heads)
  return composed.value.value
})

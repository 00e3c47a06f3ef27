/** The object store in a bucket of Google Cloud Storage. */
import { Effect, Layer, Option } from "effect"
import { ObjectNotFound, Storage } from "../../Storage.ts"
import * as Gcs from "./Gcs.ts"
import * as GcsComposer from "./Composer.ts"
import { GcsConfig } from "./GcsConfig.ts"
import * as GcsCredentials from "./Credentials.ts"
import { cut, translate } from "./Fault.ts"
import type { GcsFault } from "./Fault.ts"
import * as GcsHttp from "./Http.ts"
import * as GcsLister from "./Lister.ts"
import * as GcsObject from "./Object.ts"
import * as GcsPolicy from "./Policy.ts"
import * as GcsReader from "./Reader.ts"
import * as GcsSignedUrls from "./SignedUrls.ts"
import * as GcsStart from "./Start.ts"
import * as GcsWriter from "./Writer.ts"
import * as Many from "../Many.ts"
import * as Measured from "../Measured.ts"
import * as Rules from "../Rules.ts"
import { StorageConfig } from "../StorageConfig.ts"

/** Without a generation, the one that is found there: what is made after the call stays. */
const removal = (gcs: Gcs.Gcs, key: string, asked: string | undefined): Effect.Effect<void, GcsFault> => {
  // Google's generations are numbers; no object has another one.
  if (asked !== undefined && !/^\d+$/.test(asked)) return Effect.void
  return Effect.suspend(() => {
    let generation = asked
    const once = Effect.gen(function* () {
      generation ??= Option.getOrUndefined(yield* Gcs.look(gcs, key))?.head.generation
      if (generation !== undefined) yield* Gcs.remove(gcs, key, generation)
    })
    return GcsPolicy.retry(gcs.config, once)
  })
}

const isSame = (a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean =>
  Object.keys(a).length === Object.keys(b).length && Object.entries(a).every(([name, value]) => b[name] === value)

/** Guarded by what was seen, so that it may be repeated: had it been done, the second look finds it done. */
const setMetadata = (gcs: Gcs.Gcs, key: string, metadata: Readonly<Record<string, string>>) => {
  const change = Effect.fnUntraced(function* ({ head, metageneration }: GcsObject.GcsObject) {
    if (isSame(head.metadata, metadata)) return Option.some(head)
    const gone = Object.keys(head.metadata).map((name) => [name, null] as const)
    const guard = `ifGenerationMatch=${head.generation}&ifMetagenerationMatch=${metageneration}`
    const answer = yield* gcs.http
      .text({
        method: "PATCH",
        path: `${Gcs.path(gcs, key)}?${guard}&fields=${GcsObject.fields}`,
        body: GcsHttp.jsonBody({ metadata: { ...Object.fromEntries(gone), ...metadata } })
      })
      .pipe(Gcs.unless(404, 412))
    if (Option.isNone(answer)) return yield* cut("the object was changed meanwhile")
    return Option.some((yield* GcsObject.object(answer.value)).head)
  })
  return GcsPolicy.retry(
    gcs.config,
    Effect.flatMap(Gcs.look(gcs, key), Option.match({ onNone: () => Effect.succeedNone, onSome: change }))
  )
}

const make = Effect.fnUntraced(function* (bucket: string) {
  const config = yield* GcsConfig
  const { window } = yield* StorageConfig
  const credentials = yield* GcsCredentials.make(config, bucket).pipe(
    Effect.mapError((fault) => GcsStart.refusal(bucket, fault))
  )
  const http = yield* GcsHttp.make(config, credentials)
  const gcs: Gcs.Gcs = { bucket, config, http, window }
  yield* GcsStart.check(gcs, credentials.account)

  const at = (operation: string, key: string): Rules.At => ({ operation, bucket, key })
  const urls = GcsSignedUrls.make(config.signedUrls, credentials.sign, (here) =>
    Gcs.head(gcs, here).pipe(
      Effect.map(({ metadata }) => metadata),
      Effect.catchTag("ObjectNotFound", () => Effect.succeed(undefined))
    )
  )

  const remove = Effect.fn("GcsStorage.remove")(function* (key: string, options?: { readonly generation?: string }) {
    yield* Rules.key(at("remove", key))
    yield* Effect.mapError(removal(gcs, key, options?.generation), translate(at("remove", key)))
    urls.forget(key)
  })

  return Storage.of({
    bucket,
    put: Effect.fn("GcsStorage.put")((object) => GcsWriter.put(gcs, at("put", object.key), object)),
    get: (key, range) => GcsReader.get(gcs, at("get", key), range),
    head: Effect.fn("GcsStorage.head")((key) =>
      Effect.andThen(Rules.key(at("head", key)), Gcs.head(gcs, at("head", key)))
    ),
    list: Effect.fn("GcsStorage.list")((prefix, options) => GcsLister.list(gcs, at("list", prefix), options)),
    compose: Effect.fn("GcsStorage.compose")((target, sources) =>
      GcsComposer.compose(gcs, at("compose", target.key), target, sources)
    ),
    setMetadata: Effect.fn("GcsStorage.setMetadata")(function* (key, metadata) {
      const here = at("setMetadata", key)
      yield* Rules.key(here)
      yield* Rules.metadata(here, { metadata })
      const changed = yield* Effect.mapError(setMetadata(gcs, key, metadata), translate(here))
      urls.forget(key)
      return yield* Option.match(changed, { onNone: () => new ObjectNotFound(here), onSome: Effect.succeed })
    }),
    remove,
    removeMany: Effect.fn("GcsStorage.removeMany")((keys) => Many.removeMany(keys, window, remove)),
    signedUrl: Effect.fn("GcsStorage.signedUrl")((key, { lifetime }) =>
      Effect.andThen(Rules.key(at("signedUrl", key)), urls.get(at("signedUrl", key), lifetime))
    )
  })
})

/** In this bucket. Fails to build, in one line, when there are no credentials, no bucket or no permission. */
export function layerBucket(bucket: string) {
  return Layer.effect(Storage, Effect.flatMap(make(bucket), Measured.of))
}

/** The object store in a bucket of Google Cloud Storage. */
import { Effect, Layer, Option, Stream } from "effect"
import { ObjectNotFound, Storage } from "../../Storage.ts"
import type { ObjectHead } from "../../Storage.ts"
import * as Bucket from "./Bucket.ts"
import * as Composer from "./Composer.ts"
import { GcsConfig } from "./GcsConfig.ts"
import * as Credentials from "./Credentials.ts"
import { transient, translate } from "./Fault.ts"
import type { GcsFault } from "./Fault.ts"
import * as Http from "./Http.ts"
import * as Policy from "./Policy.ts"
import * as Reader from "./Reader.ts"
import * as SignedUrls from "./SignedUrls.ts"
import * as BucketCheck from "./BucketCheck.ts"
import * as Writer from "./Writer.ts"
import * as Batch from "../Batch.ts"
import * as Measured from "../Measured.ts"
import * as Validation from "../Validation.ts"
import { StorageConfig } from "../StorageConfig.ts"

/** Without a generation, removes the one found by the first lookup; a later object stays. */
const removal = (bucket: Bucket.Bucket, key: string, asked: string | undefined): Effect.Effect<void, GcsFault> => {
  // Generations are numbers; no object has any other.
  if (asked !== undefined && !/^\d+$/.test(asked)) return Effect.void
  return Effect.suspend(() => {
    let generation = asked
    const once = Effect.gen(function* () {
      generation ??= Option.getOrUndefined(yield* Bucket.lookup(bucket, key))?.head.generation
      if (generation !== undefined) yield* Bucket.remove(bucket, key, generation)
    })
    return Policy.retry(bucket.config, once)
  })
}

const isSame = (a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean =>
  Object.keys(a).length === Object.keys(b).length && Object.entries(a).every(([name, value]) => b[name] === value)

/** Conditional on the generations that the lookup found, so it is safe to retry after a lost response. */
const setMetadata = (bucket: Bucket.Bucket, key: string, metadata: Readonly<Record<string, string>>) => {
  const change = Effect.fnUntraced(function* ({ head, metageneration }: Bucket.StoredObject) {
    if (isSame(head.metadata, metadata)) return Option.some(head)
    const gone = Object.keys(head.metadata).map((name) => [name, null] as const)
    const guard = `ifGenerationMatch=${head.generation}&ifMetagenerationMatch=${metageneration}`
    const response = yield* bucket.http
      .text({
        method: "PATCH",
        path: `${Bucket.path(bucket, key)}?${guard}&fields=${Bucket.fields}`,
        body: Http.jsonBody({ metadata: { ...Object.fromEntries(gone), ...metadata } })
      })
      .pipe(Bucket.noneOn(404, 412))
    if (Option.isNone(response)) return yield* transient("the object was changed meanwhile")
    return Option.some((yield* Bucket.object(response.value)).head)
  })
  return Policy.retry(
    bucket.config,
    Effect.flatMap(Bucket.lookup(bucket, key), Option.match({ onNone: () => Effect.succeedNone, onSome: change }))
  )
}

const pageFields = `nextPageToken,items(${Bucket.fields})`

/** One page of the JSON API, which starts at `startOffset` and may announce an empty next page. */
const page = (bucket: Bucket.Bucket, query: Readonly<Record<string, string>>) => {
  const path = `${Bucket.objects(bucket)}?${new URLSearchParams({ ...query, fields: pageFields, projection: "noAcl" }).toString()}`
  return Effect.flatMap(bucket.http.text({ method: "GET", path }), Bucket.page)
}

const pages = Effect.fnUntraced(function* (bucket: Bucket.Bucket, prefix: string, after: string, limit: number) {
  const found: Array<ObjectHead> = []
  let token: string | undefined = ""
  while (token !== undefined && found.length <= limit) {
    // One for `after` itself, which the store includes, and one to know whether more follow.
    const maxResults = Math.min(Validation.pageSize, limit + 2 - found.length)
    const query = { prefix, startOffset: after, maxResults: String(maxResults), pageToken: token }
    const given = Object.entries(query).filter(([, text]) => text !== "")
    const part: Effect.Success<ReturnType<typeof page>> = yield* page(bucket, Object.fromEntries(given))
    for (const head of part.heads) if (head.key !== after) found.push(head)
    token = part.nextPageToken
  }
  return found
})

/** At most `limit` heads of keys after `after`, and the last key if more follow. */
const list = Effect.fnUntraced(function* (
  bucket: Bucket.Bucket,
  at: Validation.At,
  options: { readonly after?: string; readonly limit?: number } | undefined
) {
  yield* Validation.checkPrefix(at)
  const limit = Validation.clampLimit(options?.limit)
  // One deadline for all pages, because a faulty store might announce further pages for ever.
  const all = Policy.retry(bucket.config, pages(bucket, at.key, options?.after ?? "", limit))
  const found = yield* Effect.mapError(all, translate(at))
  const objects = found.slice(0, limit)
  return { objects, next: found.length > limit ? objects.at(-1)?.key : undefined }
})

const make = Effect.fnUntraced(function* (name: string) {
  const config = yield* GcsConfig
  const { window } = yield* StorageConfig
  const credentials = yield* Credentials.make(config, name).pipe(
    Effect.mapError((fault) => BucketCheck.refusal(name, fault))
  )
  const http = yield* Http.make(config, credentials)
  const bucket: Bucket.Bucket = { name, config, http, window }
  yield* BucketCheck.check(bucket, credentials.account)

  const at = (operation: string, key: string): Validation.At => ({ operation, bucket: name, key })
  const urls = SignedUrls.make(config.signedUrls, credentials.sign, (here) =>
    Bucket.head(bucket, here).pipe(
      Effect.map(({ metadata }) => metadata),
      Effect.catchTag("ObjectNotFound", () => Effect.succeed(undefined))
    )
  )

  const remove = Effect.fn("GcsStorage.remove")(function* (key: string, options?: { readonly generation?: string }) {
    yield* Validation.checkKey(at("remove", key))
    yield* Effect.mapError(removal(bucket, key, options?.generation), translate(at("remove", key)))
    urls.forget(key)
  })

  return Storage.of({
    bucket: name,
    isComposer: true,
    freeBytes: Effect.succeed(Infinity),
    put: Effect.fn("GcsStorage.put")((object) => Writer.put(bucket, at("put", object.key), object)),
    get: (key, range) => Reader.get(bucket, at("get", key), range),
    read: (key, range) => Stream.mkUint8Array(Reader.get(bucket, at("get", key), range)),
    head: Effect.fn("GcsStorage.head")((key) =>
      Effect.andThen(Validation.checkKey(at("head", key)), Bucket.head(bucket, at("head", key)))
    ),
    list: Effect.fn("GcsStorage.list")((prefix, options) => list(bucket, at("list", prefix), options)),
    compose: Effect.fn("GcsStorage.compose")((target, sources) =>
      Composer.compose(bucket, at("compose", target.key), target, sources)
    ),
    setMetadata: Effect.fn("GcsStorage.setMetadata")(function* (key, metadata) {
      const here = at("setMetadata", key)
      yield* Validation.checkKey(here)
      yield* Validation.checkMetadata(here, { metadata })
      const changed = yield* Effect.mapError(setMetadata(bucket, key, metadata), translate(here))
      urls.forget(key)
      return yield* Option.match(changed, { onNone: () => new ObjectNotFound(here), onSome: Effect.succeed })
    }),
    remove,
    removeMany: Effect.fn("GcsStorage.removeMany")((keys) => Batch.removeMany(keys, window, remove)),
    signedUrl: Effect.fn("GcsStorage.signedUrl")((key, { lifetime }) =>
      Effect.andThen(Validation.checkKey(at("signedUrl", key)), urls.get(at("signedUrl", key), lifetime))
    )
  })
})

/** Fails to build when credentials, bucket or permissions are missing. The error is one line and names the remedy. */
export function layerBucket(bucket: string) {
  return Layer.effect(Storage, Effect.flatMap(make(bucket), Measured.of))
}

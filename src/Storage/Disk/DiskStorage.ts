/** The object store in a directory of this machine. */
import { crc32c } from "@node-rs/crc32"
import { Clock, Duration, Effect, Layer, Option, Schedule, Semaphore } from "effect"
import { dirname, join, resolve } from "node:path"
import { NodeConfig } from "../../NodeConfig.ts"
import { Storage } from "../../Storage.ts"
import * as Disk from "./Disk.ts"
import * as DiskDirectories from "./Directories.ts"
import { translate } from "./Fault.ts"
import { unusable } from "./Unusable.ts"
import * as DiskListing from "./Listing.ts"
import * as DiskName from "./FileName.ts"
import * as DiskReader from "./Reader.ts"
import * as DiskWriter from "./Writer.ts"
import * as Batch from "../Batch.ts"
import * as Measured from "../Measured.ts"
import { ObjectUrls } from "./ObjectUrls.ts"
import * as Validation from "../Validation.ts"
import { StorageConfig } from "../StorageConfig.ts"

const at = (operation: string, key: string): Validation.At => ({ operation, bucket: "disk", key })

/** Deletes what puts of killed processes left behind. */
const sweep = Effect.fn("DiskStorage.sweep")(function* (unfinished: string, age: Duration.Duration) {
  const oldest = (yield* Clock.currentTimeMillis) - Duration.toMillis(age)
  for (const name of yield* Disk.names(unfinished)) {
    const path = join(unfinished, name)
    const touched = yield* Effect.orElseSucceed(Disk.modifiedAt(path), () => oldest)
    if (touched < oldest) yield* Effect.ignore(Disk.unlink(path))
  }
})

/**
 * What changes or removes an object does so alone, so that what was looked at is what is changed. Keys share a few locks;
 * a put needs none, as it never touches what is there.
 */
const lockedBy = () => {
  const locks = Array.from({ length: 64 }, () => Semaphore.makeUnsafe(1))
  const spare = Semaphore.makeUnsafe(1)
  return (key: string) => (locks[crc32c(key) % locks.length] ?? spare).withPermit
}

const make = Effect.gen(function* () {
  const { dataDir } = yield* NodeConfig
  const config = yield* StorageConfig
  const urls = yield* ObjectUrls
  const root = resolve(dataDir, "objects")
  const unfinished = join(root, DiskName.leftovers)
  yield* Disk.makeDirectories(unfinished).pipe(
    Effect.andThen(Effect.forEach([root, unfinished], Disk.checkWritable)),
    Effect.andThen(Effect.forEach([root, dirname(root)], Disk.syncDirectory)),
    Effect.mapError(unusable(root))
  )
  // Not ours, and perhaps not readable.
  yield* Effect.ignore(Disk.syncDirectory(dirname(dirname(root))))

  yield* sweep(unfinished, config.leftoverAge).pipe(
    Effect.catchTag("DiskFault", (fault) => Effect.logWarning("unfinished writes could not be swept", fault)),
    Effect.repeat(Schedule.spaced(config.leftoverAge)),
    Effect.forkScoped
  )

  const directories = DiskDirectories.make(root, config.knownDirectories)
  const place = { root, unfinished, directories }
  const alone = lockedBy()
  const fileOf = (key: string) => join(root, DiskName.fileOf(key))

  const listed = (key: string) =>
    Effect.catchTag(Effect.asSome(DiskReader.head(root, at("list", key))), "ObjectNotFound", () => Effect.succeedNone)

  const get: Storage["Service"]["get"] = (key, range) => DiskReader.get(root, config.readChunk, at("get", key), range)
  const head = Effect.fn("DiskStorage.head")((key: string) => DiskReader.head(root, at("head", key)))

  const remove = Effect.fn("DiskStorage.remove")(function* (key: string, options?: { readonly generation?: string }) {
    const here = at("remove", key)
    yield* Validation.checkKey(here)
    const isMeant =
      options?.generation === undefined
        ? Effect.succeed(true)
        : DiskReader.head(root, here).pipe(
            Effect.map(({ generation }) => generation === options.generation),
            Effect.catchTag("ObjectNotFound", () => Effect.succeed(false))
          )
    const unlink = Effect.mapError(directories.remove(fileOf(key)), translate(here))
    yield* alone(key)(Effect.flatMap(isMeant, (meant) => (meant ? unlink : Effect.void)))
  })

  return Storage.of({
    bucket: "disk",
    put: Effect.fn("DiskStorage.put")((object) => DiskWriter.put(place, at("put", object.key), object)),
    get,
    head,
    list: Effect.fn("DiskStorage.list")(function* (prefix, options) {
      yield* Validation.checkPrefix(at("list", prefix))
      const limit = Validation.clampLimit(options?.limit)
      const keys = yield* DiskListing.keys(root, prefix, options?.after ?? "", limit + 1).pipe(
        Effect.mapError(translate(at("list", prefix)))
      )
      const page = keys.slice(0, limit)
      const heads = yield* Effect.forEach(page, listed, { concurrency: config.listHeads })
      return { objects: heads.flatMap(Option.toArray), next: keys.length > limit ? page.at(-1) : undefined }
    }),
    compose: Effect.fn("DiskStorage.compose")((target, sources) =>
      Batch.compose({ get, head }, config.window, target, at("compose", target.key), sources, (object) =>
        DiskWriter.put(place, at("compose", target.key), object)
      )
    ),
    setMetadata: Effect.fn("DiskStorage.setMetadata")((key, metadata) =>
      Validation.checkKey(at("setMetadata", key)).pipe(
        Effect.andThen(alone(key)(DiskWriter.setMetadata(place, at("setMetadata", key), metadata)))
      )
    ),
    remove,
    removeMany: Effect.fn("DiskStorage.removeMany")((keys) => Batch.removeMany(keys, config.window, remove)),
    signedUrl: Effect.fn("DiskStorage.signedUrl")(function* (key, { lifetime }) {
      const here = at("signedUrl", key)
      const found = yield* Effect.catchTag(
        Effect.asSome(DiskReader.head(root, here)),
        "ObjectNotFound",
        () => Effect.succeedNone
      )
      return yield* urls.sign(here, lifetime, Validation.objectExpiry(Option.getOrUndefined(found)?.metadata))
    })
  })
})

/** Fails to build when the directory can't be made or written to. Objects that a listing meets and finds damaged fail it, by name. */
export const layer = Layer.effect(Storage, Effect.flatMap(make, Measured.of)).pipe(Layer.provide(ObjectUrls.layer))

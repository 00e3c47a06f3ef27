/** The object store in a directory of this machine. */
import { crc32c } from "@node-rs/crc32"
import { Clock, Duration, Effect, Layer, Option, Schedule, Semaphore } from "effect"
import { dirname, join, resolve } from "node:path"
import { NodeConfig } from "../../NodeConfig.ts"
import { Storage } from "../../Storage.ts"
import * as Disk from "./Disk.ts"
import * as Directories from "./Directories.ts"
import { translate, unusable } from "./Fault.ts"
import * as Listing from "./Listing.ts"
import * as FileName from "./FileName.ts"
import * as KnownHeads from "./KnownHeads.ts"
import * as OpenFiles from "./OpenFiles.ts"
import * as Reader from "./Reader.ts"
import * as Writer from "./Writer.ts"
import * as Batch from "../Batch.ts"
import * as Measured from "../Measured.ts"
import { ObjectUrls } from "./ObjectUrls.ts"
import * as Validation from "../Validation.ts"
import { StorageConfig } from "../StorageConfig.ts"

const at = (operation: string, key: string): Validation.At => ({ operation, bucket: "disk", key })

/** Deletes the temporary files of killed puts. */
const deleteLeftovers = Effect.fn("DiskStorage.deleteLeftovers")(function* (
  unfinished: string,
  age: Duration.Duration
) {
  const oldest = (yield* Clock.currentTimeMillis) - Duration.toMillis(age)
  for (const name of yield* Disk.names(unfinished)) {
    const path = join(unfinished, name)
    const touched = yield* Effect.orElseSucceed(Disk.modifiedAt(path), () => oldest)
    if (touched < oldest) yield* Effect.ignore(Disk.unlink(path))
  }
})

/**
 * Serializes changes and removals of a key, so that the object that was checked is the one that changes. Keys share 64
 * locks. A put needs none, because it never touches an existing object.
 */
const makeLocks = () => {
  const locks = Array.from({ length: 64 }, () => Semaphore.makeUnsafe(1))
  const spare = Semaphore.makeUnsafe(1)
  return (key: string) => (locks[crc32c(key) % locks.length] ?? spare).withPermit
}

const make = Effect.gen(function* () {
  const { dataDir } = yield* NodeConfig
  const config = yield* StorageConfig
  const urls = yield* ObjectUrls
  const root = resolve(dataDir, "objects")
  const unfinished = join(root, FileName.unfinishedDirectory)
  yield* Disk.makeDirectories(unfinished).pipe(
    Effect.andThen(Effect.forEach([root, unfinished], Disk.checkWritable)),
    Effect.andThen(Effect.forEach([root, dirname(root)], Disk.syncDirectory)),
    Effect.mapError(unusable(root))
  )
  // The parent may be unreadable.
  yield* Effect.ignore(Disk.syncDirectory(dirname(dirname(root))))

  yield* deleteLeftovers(unfinished, config.leftoverAge).pipe(
    Effect.catchTag("DiskFault", (fault) =>
      Effect.logWarning("Temporary files of unfinished puts could not be deleted", fault)
    ),
    Effect.repeat(Schedule.spaced(config.leftoverAge)),
    Effect.forkScoped
  )

  const directories = Directories.make(root, config.knownDirectories)
  const place = { root, unfinished, directories }
  const exclusively = makeLocks()
  const fileOf = (key: string) => join(root, FileName.fileOf(key))

  const listed = (key: string) =>
    Effect.catchTag(Effect.asSome(Reader.head(root, at("list", key))), "ObjectNotFound", () => Effect.succeedNone)

  const clock = yield* Clock.Clock
  const openFiles = OpenFiles.make(() => Number(clock.monotonicTimeNanosUnsafe()) / 1e6, Disk.discard)
  yield* Effect.addFinalizer(() => Effect.sync(openFiles.closeAll))
  yield* Effect.sync(openFiles.closeOld).pipe(Effect.repeat(Schedule.spaced("1 second")), Effect.forkScoped)
  const files = { root, pieceBytes: config.readPiece, known: KnownHeads.make(), openFiles }
  const get: Storage["Service"]["get"] = (key, range) => Reader.get(files, at("get", key), range)
  const head = Effect.fn("DiskStorage.head")((key: string) => Reader.head(root, at("head", key)))

  const remove = Effect.fn("DiskStorage.remove")(function* (key: string, options?: { readonly generation?: string }) {
    const here = at("remove", key)
    yield* Validation.checkKey(here)
    const isMeant =
      options?.generation === undefined
        ? Effect.succeed(true)
        : Reader.head(root, here).pipe(
            Effect.map(({ generation }) => generation === options.generation),
            Effect.catchTag("ObjectNotFound", () => Effect.succeed(false))
          )
    const unlink = Effect.mapError(directories.remove(fileOf(key)), translate(here)).pipe(
      Effect.tap(() =>
        Effect.sync(() => {
          files.known.forget(key)
          openFiles.forget(key)
        })
      )
    )
    yield* exclusively(key)(Effect.flatMap(isMeant, (meant) => (meant ? unlink : Effect.void)))
  })

  return Storage.of({
    bucket: "disk",
    isComposer: false,
    freeBytes: Effect.mapError(Disk.freeBytes(root), translate(at("measure the free space of", ""))),
    put: Effect.fn("DiskStorage.put")((object) => Writer.put(place, at("put", object.key), object)),
    get,
    read: (key, range) => Reader.read(files, at("get", key), range),
    head,
    list: Effect.fn("DiskStorage.list")(function* (prefix, options) {
      yield* Validation.checkPrefix(at("list", prefix))
      const limit = Validation.clampLimit(options?.limit)
      const keys = yield* Listing.keys(root, prefix, options?.after ?? "", limit + 1).pipe(
        Effect.mapError(translate(at("list", prefix)))
      )
      const page = keys.slice(0, limit)
      const heads = yield* Effect.forEach(page, listed, { concurrency: config.listHeads })
      return { objects: heads.flatMap(Option.toArray), next: keys.length > limit ? page.at(-1) : undefined }
    }),
    compose: Effect.fn("DiskStorage.compose")((target, sources) =>
      Batch.compose({ get, head }, config.window, target, at("compose", target.key), sources, (object) =>
        Writer.put(place, at("compose", target.key), object)
      )
    ),
    setMetadata: Effect.fn("DiskStorage.setMetadata")((key, metadata) =>
      Validation.checkKey(at("setMetadata", key)).pipe(
        Effect.andThen(exclusively(key)(Writer.setMetadata(place, at("setMetadata", key), metadata))),
        Effect.tap(() => Effect.sync(() => openFiles.forget(key)))
      )
    ),
    remove,
    removeMany: Effect.fn("DiskStorage.removeMany")((keys) => Batch.removeMany(keys, config.window, remove)),
    signedUrl: Effect.fn("DiskStorage.signedUrl")(function* (key, { lifetime }) {
      const here = at("signedUrl", key)
      const found = yield* Effect.catchTag(
        Effect.asSome(Reader.head(root, here)),
        "ObjectNotFound",
        () => Effect.succeedNone
      )
      return yield* urls.sign(here, lifetime, Validation.objectExpiry(Option.getOrUndefined(found)?.metadata))
    })
  })
})

/** Fails to build when the directory cannot be created or written. A damaged object fails the listing that finds it, by key. */
export const layer = Layer.effect(Storage, Effect.flatMap(make, Measured.of)).pipe(Layer.provide(ObjectUrls.layer))

/** The object store in a directory of this machine. */
import { Clock, Duration, Effect, Layer, Option, Schedule } from "effect"
import { dirname, join, resolve } from "node:path"
import { NodeConfig } from "../NodeConfig.ts"
import { Storage } from "../Storage.ts"
import * as Disk from "./Disk.ts"
import * as DiskDirectories from "./DiskDirectories.ts"
import { translate } from "./DiskFault.ts"
import * as DiskListing from "./DiskListing.ts"
import * as DiskName from "./DiskName.ts"
import * as DiskReader from "./DiskReader.ts"
import * as DiskWriter from "./DiskWriter.ts"
import * as Rules from "./Rules.ts"
import { StorageConfig } from "./StorageConfig.ts"

const at = (operation: string, key: string): Rules.At => ({ operation, bucket: "disk", key })

/** Deletes what puts of killed processes left behind. */
const sweep = Effect.fn("DiskStorage.sweep")(function* (unfinished: string, age: Duration.Duration) {
  const oldest = (yield* Clock.currentTimeMillis) - Duration.toMillis(age)
  for (const name of yield* Disk.names(unfinished)) {
    const path = join(unfinished, name)
    const touched = yield* Effect.orElseSucceed(Disk.modifiedAt(path), () => oldest)
    if (touched < oldest) yield* Effect.ignore(Disk.unlink(path))
  }
})

const make = Effect.gen(function* () {
  const { dataDir } = yield* NodeConfig
  const config = yield* StorageConfig
  const root = resolve(dataDir, "objects")
  const unfinished = join(root, DiskName.leftovers)
  yield* Disk.makeDirectories(unfinished)
  yield* Effect.forEach([root, dirname(root)], Disk.syncDirectory)
  // Not ours, and perhaps not readable.
  yield* Effect.ignore(Disk.syncDirectory(dirname(dirname(root))))

  yield* sweep(unfinished, config.leftoverAge).pipe(
    Effect.catchTag("DiskFault", (fault) => Effect.logWarning("unfinished writes could not be swept", fault)),
    Effect.repeat(Schedule.spaced(config.leftoverAge)),
    Effect.forkScoped
  )

  const directories = DiskDirectories.make(root, config.knownDirectories)
  const place = { root, unfinished, directories }

  const listed = (key: string) =>
    Effect.catchTag(Effect.asSome(DiskReader.head(root, at("list", key))), "ObjectNotFound", () => Effect.succeedNone)

  return Storage.of({
    bucket: "disk",
    put: Effect.fn("DiskStorage.put")((object) => DiskWriter.put(place, at("put", object.key), object)),
    get: (key, range) => DiskReader.get(root, config.readChunk, at("get", key), range),
    head: Effect.fn("DiskStorage.head")((key) => DiskReader.head(root, at("head", key))),
    list: Effect.fn("DiskStorage.list")(function* (prefix, options) {
      yield* Rules.prefix(at("list", prefix))
      const limit = Rules.limit(options?.limit)
      const keys = yield* DiskListing.keys(root, prefix, options?.after ?? "", limit + 1).pipe(
        Effect.mapError(translate(at("list", prefix)))
      )
      const page = keys.slice(0, limit)
      const heads = yield* Effect.forEach(page, listed, { concurrency: config.listHeads })
      return { objects: heads.flatMap(Option.toArray), next: keys.length > limit ? page.at(-1) : undefined }
    }),
    remove: Effect.fn("DiskStorage.remove")(function* (key) {
      yield* Rules.key(at("remove", key))
      yield* Effect.mapError(directories.remove(join(root, DiskName.fileOf(key))), translate(at("remove", key)))
    })
  })
})

/** Fails to build when the directory can't be made. Objects that a listing meets and finds damaged fail it, by name. */
export const layer = Layer.effect(Storage, Effect.mapError(make, translate(at("open", ""))))

/** The secret that signs URLs. Created once in the data directory, readable by its owner only. */
import { Context, Effect, Layer } from "effect"
import { randomBytes, randomUUID } from "node:crypto"
import { dirname, join, resolve } from "node:path"
import { NodeConfig } from "../../NodeConfig.ts"
import * as Disk from "./Disk.ts"
import { DiskCorrupt, type DiskFault, translate, unusable } from "./Fault.ts"

const keySize = 32

export class UrlKey extends Context.Service<UrlKey, Uint8Array>()("spillway/Storage/Disk/UrlKey") {
  static readonly layer = Layer.effect(
    UrlKey,
    Effect.suspend(() => make)
  )
}

/** Fails with ENOENT when there is no key. */
const load = (path: string) =>
  Effect.acquireUseRelease(
    Disk.open(path),
    (fd) => Disk.read(fd, keySize + 1, 0),
    (fd) => Effect.ignore(Disk.close(fd))
  ).pipe(
    Effect.filterOrFail(
      (key) => key.length === keySize,
      () => new DiskCorrupt({ reason: `${path} is not a key of ${keySize} bytes; delete it, and a new one is created` })
    )
  )

/** Writes and syncs a temporary file, then links it: after a kill the key is complete or absent. */
const create = Effect.fnUntraced(function* (path: string) {
  const key = randomBytes(keySize)
  const unfinished = `${path}.${randomUUID()}`
  yield* Effect.acquireUseRelease(
    Disk.create(unfinished),
    (fd) =>
      Disk.append(fd, [key]).pipe(
        Effect.andThen(Disk.syncData(fd)),
        Effect.andThen(Disk.link(unfinished, path)),
        Effect.andThen(Disk.syncDirectory(dirname(path)))
      ),
    (fd) => Effect.andThen(Effect.ignore(Disk.close(fd)), Effect.ignore(Disk.unlink(unfinished)))
  )
  return key
})

const isMissing = (fault: DiskFault | DiskCorrupt) => fault._tag === "DiskFault" && fault.code === "ENOENT"
const isTaken = (fault: DiskFault | DiskCorrupt) => fault._tag === "DiskFault" && fault.code === "EEXIST"

const make = Effect.gen(function* () {
  const dataDir = resolve((yield* NodeConfig).dataDir)
  const path = join(dataDir, "url-key")
  return yield* Disk.makeDirectories(dataDir).pipe(
    Effect.andThen(load(path)),
    Effect.catchIf(isMissing, () => Effect.catchIf(create(path), isTaken, () => load(path))),
    Effect.catchTags({
      DiskFault: (fault) => Effect.fail(unusable(path)(fault)),
      DiskCorrupt: (corrupt) => Effect.fail(translate({ operation: "read", bucket: "disk", key: "url-key" })(corrupt))
    })
  )
})

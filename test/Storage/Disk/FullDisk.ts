/** A process that fills the disk under a store and prints the results as JSON: `node FullDisk.ts <dir>`. */
import { crc32c } from "@node-rs/crc32"
import { Effect, Stream } from "effect"
import * as fs from "node:fs"
import { join } from "node:path"
import { Storage, type StorageError } from "../../../src/Storage.ts"
import { diskStorage } from "../support/TestDisk.ts"

const [dataDir = ""] = process.argv.slice(2)

const body = (size: number, seed: number) => Buffer.alloc(size, seed + 1)
const object = (i: number, size = 60_000) => ({
  key: `chunks/u/c/${i}`,
  body: body(size, i),
  contentType: "a/b",
  metadata: { i: String(i) }
})

/** `StorageUnavailable ENOSPC` */
const name = (error: StorageError) => {
  const cause = error._tag === "StorageUnavailable" && error.cause instanceof Error ? error.cause : undefined
  return cause !== undefined && "code" in cause ? `${error._tag} ${String(cause.code)}` : error._tag
}

const failure = <A>(effect: Effect.Effect<A, StorageError>) =>
  Effect.match(effect, { onFailure: name, onSuccess: () => "success" })

const unfinished = () => fs.readdirSync(join(dataDir, "objects/~tmp")).length

const program = Effect.gen(function* () {
  const storage = yield* Storage
  let stored = 0
  let full = "success"
  while (full === "success") {
    full = yield* failure(storage.put(object(stored)))
    if (full === "success") stored++
  }
  const pieces = Stream.range(1, 100).pipe(Stream.map((i) => body(1_000, i)))
  const streamed = yield* failure(storage.put({ ...object(1_000), body: { size: 100_000, stream: pieces } }))
  const composed = yield* failure(storage.compose(object(1_001), ["chunks/u/c/0", "chunks/u/c/1"]))
  const relabelled = yield* failure(storage.setMetadata("chunks/u/c/0", { i: "other" }))
  const left = unfinished()
  const { objects } = yield* storage.list("")
  const whole = yield* Effect.forEach(objects, (head) =>
    Effect.map(
      Stream.mkUint8Array(storage.get(head.key)),
      (bytes) => bytes.length === 60_000 && crc32c(bytes) === head.crc32c && head.metadata["i"] !== "other"
    )
  )
  yield* storage.remove("chunks/u/c/0")
  const again = yield* failure(storage.put(object(2_000)))
  return {
    stored,
    full,
    streamed,
    composed,
    relabelled,
    left,
    found: objects.length,
    whole: whole.every((isWhole) => isWhole),
    again,
    leftAgain: unfinished()
  }
})

const result = await Effect.runPromise(program.pipe(Effect.provide(diskStorage(dataDir)), Effect.scoped))
fs.writeSync(1, JSON.stringify(result))

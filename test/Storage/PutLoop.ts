/** A process that puts objects until it is killed, and says which puts were acknowledged: `node PutLoop.ts <dir> <take>`. */
import { Effect, Random } from "effect"
import * as fs from "node:fs"
import { Storage } from "../../src/Storage.ts"
import { diskStorage } from "./TestDisk.ts"

const [dataDir = "", take = ""] = process.argv.slice(2)

const putter = Effect.fnUntraced(function* (lane: number) {
  const storage = yield* Storage
  for (let i = 0; ; i++) {
    const size = yield* Random.nextIntBetween(0, 200_000)
    const body = new Uint8Array(size).fill(size % 251)
    const key = `chunks/u${i % 3}/${take}-${Math.trunc(i / 4)}/${lane}.${i}`
    const { crc32c } = yield* storage.put({ key, body, contentType: "a/b", metadata: { key } })
    fs.writeSync(1, `${key} ${size} ${crc32c}\n`)
    if (i % 5 === 0) yield* storage.remove(`chunks/u${i % 3}/${take}-${Math.trunc(i / 4)}/${lane + 1}.none`)
  }
})

await Effect.runPromise(
  Effect.forEach([0, 1, 2, 3], putter, { concurrency: "unbounded", discard: true }).pipe(
    Effect.provide(diskStorage(dataDir))
  )
)

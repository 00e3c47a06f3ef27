/**
 * A process that puts, composes and relabels objects until it is killed, and prints what was acknowledged:
 * `node PutLoop.ts <dir> <take>`. Every object's metadata has its key, and `label` once it was relabelled.
 */
import { Effect, Random } from "effect"
import * as fs from "node:fs"
import { Storage } from "../../../src/Storage.ts"
import { diskStorage } from "../support/TestDisk.ts"

const [dataDir = "", take = ""] = process.argv.slice(2)

const putter = Effect.fnUntraced(function* (lane: number) {
  const storage = yield* Storage
  for (let i = 0; ; i++) {
    const size = yield* Random.nextIntBetween(0, 200_000)
    const body = new Uint8Array(size).fill(size % 251)
    const key = `chunks/u${i % 3}/${take}-${Math.trunc(i / 4)}/${lane}.${i}`
    const { crc32c } = yield* storage.put({ key, body, contentType: "a/b", metadata: { key } })
    fs.writeSync(1, `${key} ${size} ${crc32c}\n`)
    if (i % 3 === 0) {
      yield* storage.setMetadata(key, { key, label: "1" })
      fs.writeSync(1, `${key} label\n`)
    }
    if (i % 4 === 1) {
      const target = { key: `${key}.twice`, contentType: "a/b", metadata: { key: `${key}.twice` } }
      const twice = yield* storage.compose(target, [key, key])
      fs.writeSync(1, `${twice.key} ${twice.size} ${twice.crc32c}\n`)
    }
    if (i % 5 === 0) yield* storage.remove(`chunks/u${i % 3}/${take}-${Math.trunc(i / 4)}/${lane + 1}.none`)
  }
})

await Effect.runPromise(
  Effect.forEach([0, 1, 2, 3], putter, { concurrency: "unbounded", discard: true }).pipe(
    Effect.provide(diskStorage(dataDir))
  )
)

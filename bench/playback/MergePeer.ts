/** A peer that downloads all chunks from the same store, eight at a time, joins them in memory and sends them. Prints its port. */
import * as fs from "node:fs"
import { createServer } from "node:http"
import { Effect, Layer, ManagedRuntime, Stream } from "effect"
import { Wav } from "../../src/Audio.ts"
import { NodeConfig } from "../../src/NodeConfig.ts"
import { PublicUrl } from "../../src/PublicUrl.ts"
import { Storage } from "../../src/Storage.ts"
import * as DiskStorage from "../../src/Storage/Disk/DiskStorage.ts"
import { StorageConfig } from "../../src/Storage/StorageConfig.ts"

const [dataDir = "", list = "", rate = "16000"] = process.argv.slice(2)
const keys: ReadonlyArray<string> = JSON.parse(fs.readFileSync(list, "utf8"))

const publicUrl = Layer.succeed(PublicUrl, { base: () => "http://localhost", setPort: () => {} })

const runtime = ManagedRuntime.make(
  DiskStorage.layer.pipe(Layer.provide([Layer.succeed(NodeConfig, { dataDir }), StorageConfig.layer, publicUrl]))
)

const merged = Effect.gen(function* () {
  const storage = yield* Storage
  const chunks = yield* Effect.forEach(keys, (key) => Stream.mkUint8Array(storage.get(key)), { concurrency: 8 })
  const samples = chunks.reduce((sum, { length }) => sum + length, 0) / 2
  return Buffer.concat([Wav.header(Number(rate), samples), ...chunks])
})

const server = createServer(async (_request, response) => {
  const body = await runtime.runPromise(merged)
  response.writeHead(200, { "content-type": "audio/wav", "content-length": body.length })
  response.end(body)
})

server.listen(0, "127.0.0.1", () => {
  const address = server.address()
  console.log(JSON.stringify({ port: typeof address === "object" ? address?.port : undefined }))
})

/** One client of the bucket, in its own process, so that no peer pays for another's garbage collection. */
import events from "node:events"
import * as fs from "node:fs"
import { Agent } from "@effect/platform-node/Undici"
import { Storage as Library } from "@google-cloud/storage"
import { Context, Effect, Layer, Option, Schema, Scope, Stream } from "effect"
import { Storage } from "../../src/Storage.ts"
import type { StorageError } from "../../src/Storage.ts"
import { GcsConfig } from "../../src/Storage/Gcs/GcsConfig.ts"
import * as GcsStorage from "../../src/Storage/Gcs/GcsStorage.ts"
import { StorageConfig } from "../../src/Storage/StorageConfig.ts"

const bucket = "bench"
const bytes = Buffer.from(Uint8Array.from({ length: 1_048_576 }, (_, i) => (i * 2_654_435_761) >>> 13))
const range = { start: 300_000, end: 365_536 }
const source = "source"

/** Moves the bytes repeatedly, in sequence. Each put has a new name; reads are of `source`. */
type Peer = (operation: Operation, times: number) => Promise<void>

export type Operation = "put" | "get" | "range"

let keys = 0
const newKey = () => `put-${process.pid}-${keys++}`

const checkSize = (operation: "get" | "range", size: number) => {
  const wanted = operation === "get" ? bytes.length : range.end - range.start
  if (size !== wanted) throw new Error(`${operation}: ${size} bytes`)
}

const promises =
  (does: {
    readonly put: (key: string) => Promise<unknown>
    readonly get: () => Promise<number>
    readonly range: () => Promise<number>
  }): Peer =>
  async (operation, times) => {
    for (let i = 0; i < times; i++) {
      if (operation === "put") await does.put(newKey())
      else checkSize(operation, await does[operation]())
    }
  }

const drained = async (body: AsyncIterable<Uint8Array>) => {
  let size = 0
  for await (const piece of body) size += piece.length
  return size
}

const libraryFor = (url: string, keyFile: string): Library => {
  const retryOptions = { autoRetry: false }
  const library = new Library({ apiEndpoint: url, projectId: "bench", retryOptions, useAuthWithCustomEndpoint: true })
  library.authClient.useJWTAccessWithScope = true
  // As an option, the library warns of it.
  Object.assign(library.authClient, { jsonContent: JSON.parse(fs.readFileSync(keyFile, "utf8")) })
  return library
}

/** The same requests with the same token, without checksum and retries; only the status is checked. */
const undici = async (url: string, keyFile: string): Promise<Peer> => {
  const token = Object.fromEntries(await libraryFor(url, keyFile).authClient.getRequestHeaders())
  const agent = new Agent({ connections: 64, pipelining: 1, allowH2: false })
  const objects = `/storage/v1/b/${bucket}/o`
  const read = async (headers: Record<string, string>) => {
    const target = { origin: url, method: "GET", path: `${objects}/${source}?alt=media`, headers } as const
    return drained((await agent.request(target)).body)
  }
  return promises({
    put: async (key) => {
      const part = (type: string) => `--${key}\r\ncontent-type: ${type}\r\n\r\n`
      const start = `${part("application/json")}${JSON.stringify({ name: key })}\r\n${part("application/octet-stream")}`
      const body = Buffer.concat([Buffer.from(start), bytes, Buffer.from(`\r\n--${key}--\r\n`)])
      const path = `/upload${objects}?uploadType=multipart&ifGenerationMatch=0`
      const headers = { ...token, "content-type": `multipart/related; boundary=${key}` }
      const answer = await agent.request({ origin: url, method: "POST", path, headers, body })
      await answer.body.text()
      if (answer.statusCode !== 200) throw new Error(`put: ${answer.statusCode}`)
    },
    get: () => read(token),
    range: () => read({ ...token, range: `bytes=${range.start}-${range.end - 1}` })
  })
}

const official = async (url: string, keyFile: string): Promise<Peer> => {
  // It adds more listeners to a stream than Node likes to see, at each upload.
  events.defaultMaxListeners = 20
  const library = libraryFor(url, keyFile)
  const file = (key: string) => library.bucket(bucket).file(key)
  return promises({
    put: (key) =>
      file(key).save(bytes, { resumable: false, validation: "crc32c", preconditionOpts: { ifGenerationMatch: 0 } }),
    get: () => drained(file(source).createReadStream({ validation: "crc32c" })),
    // The library checks no ranges.
    range: () => drained(file(source).createReadStream({ start: range.start, end: range.end - 1, validation: false }))
  })
}

const ours = async (url: string, keyFile: string): Promise<Peer> => {
  const config = Effect.map(GcsConfig, (defaults) => ({
    ...defaults,
    endpoint: Option.some(url),
    keyFile: Option.some(keyFile)
  }))
  const layer = GcsStorage.layerBucket(bucket).pipe(
    Layer.provide([StorageConfig.layer, Layer.effect(GcsConfig, config).pipe(Layer.provide(GcsConfig.layer))])
  )
  const storage = Context.get(await Effect.runPromise(Layer.buildWithScope(layer, Scope.makeUnsafe())), Storage)
  const object = (key: string) => ({ key, body: bytes, contentType: "application/octet-stream", metadata: {} })
  await Effect.runPromise(storage.put(object(source)))
  const read = (operation: "get" | "range") =>
    Stream.runFold(
      storage.get(source, operation === "get" ? undefined : range),
      () => 0,
      (sum, piece) => sum + piece.length
    ).pipe(Effect.map((size) => checkSize(operation, size)))
  const put = Effect.suspend(() => storage.put(object(newKey())))
  return (operation, times) => {
    const one: Effect.Effect<unknown, StorageError> = operation === "put" ? put : read(operation)
    return Effect.runPromise(Effect.asVoid(Effect.repeat(one, { times: times - 1 })))
  }
}

const peers = { ours, undici, official }

const Command = Schema.Struct({ operation: Schema.Literals(["put", "get", "range"]), times: Schema.Int })
const decode = Schema.decodeUnknownSync(Command)

const [name, url, keyFile] = process.argv.slice(2)
if ((name === "ours" || name === "undici" || name === "official") && url !== undefined && keyFile !== undefined) {
  const peer = await peers[name](url, keyFile)
  process.on("message", (message) => {
    const { operation, times } = decode(message)
    const start = performance.now()
    peer(operation, times).then(
      () => process.send?.((performance.now() - start) / times),
      (cause) => {
        console.error(cause)
        process.exit(1)
      }
    )
  })
  process.send?.("ready")
}

/** What a bucket costs through the server's store, next to bare undici and Google's own client, in the same run. */
import { spawn } from "node:child_process"
import events from "node:events"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { Storage as Library } from "@google-cloud/storage"
import { Context, Effect, Layer, Option, Stream } from "effect"
import { Agent } from "@effect/platform-node/Undici"
import { Storage } from "../src/Storage.ts"
import { GcsConfig } from "../src/Storage/GcsConfig.ts"
import * as GcsStorage from "../src/Storage/GcsStorage.ts"
import { StorageConfig } from "../src/Storage/StorageConfig.ts"
import * as Account from "../test/support/gcs/Account.ts"

const bucket = "bench"
const bytes = Buffer.from(Uint8Array.from({ length: 1_048_576 }, (_, i) => (i * 2_654_435_761) >>> 13))
const range = { start: 300_000, end: 365_536 }
const source = "source"

/** One way to move the bytes. A put gets a name that is new; reads are of `source`. */
interface Peer {
  readonly name: string
  readonly put: (key: string) => Promise<unknown>
  readonly get: () => Promise<number>
  readonly range: () => Promise<number>
}

/** The protocol server as a process of its own. */
const server = Effect.acquireRelease(
  Effect.promise(async () => {
    const script = path.join(import.meta.dirname, "../scripts/gcs-server.ts")
    const child = spawn(process.execPath, [script, "--port", "0", "--bucket", bucket], {
      stdio: ["ignore", "pipe", "inherit"]
    })
    const url = await new Promise<string>((resolve, reject) => {
      child.once("exit", (code) => reject(new Error(`the protocol server ended with ${code}`)))
      child.stdout.setEncoding("utf8").on("data", (text: string) => {
        const found = /(http:\S+),/.exec(text)?.[1]
        if (found !== undefined) resolve(found)
      })
    })
    return { child, url }
  }),
  ({ child }) => Effect.sync(() => child.kill("SIGTERM"))
)

const drained = async (body: AsyncIterable<Uint8Array>) => {
  let size = 0
  for await (const piece of body) size += piece.length
  return size
}

/** No sum, no policy: the bytes, with a token that is there already, and nothing else. */
const undici = (url: string, token: Readonly<Record<string, string>>): Peer => {
  const agent = new Agent({ connections: 64, pipelining: 1, allowH2: false })
  const objects = `/storage/v1/b/${bucket}/o`
  const read = async (headers: Record<string, string>) => {
    const target = { origin: url, method: "GET", path: `${objects}/${source}?alt=media`, headers } as const
    return drained((await agent.request(target)).body)
  }
  return {
    name: "bare undici",
    put: async (key) => {
      const path = `/upload${objects}?uploadType=media&name=${key}&ifGenerationMatch=0`
      const { body, statusCode } = await agent.request({
        origin: url,
        method: "POST",
        path,
        headers: token,
        body: bytes
      })
      await body.text()
      if (statusCode !== 200) throw new Error(`put: ${statusCode}`)
    },
    get: () => read(token),
    range: () => read({ ...token, range: `bytes=${range.start}-${range.end - 1}` })
  }
}

const libraryFor = (url: string, account: Account.TestAccount): Library => {
  const retryOptions = { autoRetry: false }
  const library = new Library({ apiEndpoint: url, projectId: "bench", retryOptions, useAuthWithCustomEndpoint: true })
  library.authClient.useJWTAccessWithScope = true
  // As an option, the library warns of it.
  Object.assign(library.authClient, { jsonContent: Account.keyFile(account) })
  return library
}

const official = (library: Library): Peer => {
  const file = (key: string) => library.bucket(bucket).file(key)
  return {
    name: "@google-cloud/storage",
    put: (key) =>
      file(key).save(bytes, { resumable: false, validation: "crc32c", preconditionOpts: { ifGenerationMatch: 0 } }),
    get: () => drained(file(source).createReadStream({ validation: "crc32c" })),
    // The library checks no ranges.
    range: () => drained(file(source).createReadStream({ start: range.start, end: range.end - 1, validation: false }))
  }
}

const ours = (storage: Storage["Service"]): Peer => {
  const object = (key: string) => ({ key, body: bytes, contentType: "application/octet-stream", metadata: {} })
  const size = (part?: typeof range) =>
    Stream.runFold(
      storage.get(source, part),
      () => 0,
      (sum, piece) => sum + piece.length
    )
  return {
    name: "Spillway's store",
    put: (key) => Effect.runPromise(storage.put(object(key))),
    get: () => Effect.runPromise(size()),
    range: () => Effect.runPromise(size(range))
  }
}

const median = (values: ReadonlyArray<number>) => values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN

const operations = ["put", "get", "range"] as const
type Cost = Record<(typeof operations)[number], number>

/** So many in a row: a client that is used is warm. */
const row = 8

let keys = 0
/** Milliseconds of one. */
const time = async (peer: Peer, operation: (typeof operations)[number]) => {
  const start = performance.now()
  for (let i = 0; i < row; i++) {
    if (operation === "put") await peer.put(`put/${keys++}`)
    else {
      const size = await peer[operation]()
      const wanted = operation === "get" ? bytes.length : range.end - range.start
      if (size !== wanted) throw new Error(`${peer.name}: ${size} bytes`)
    }
  }
  return (performance.now() - start) / row
}

/** The peers take turns, and each is first as often as the others, so that what else the machine does meets all of them. */
const measure = async (peers: ReadonlyArray<Peer>, rounds: number): Promise<ReadonlyArray<Cost>> => {
  const all = peers.map((peer) => ({
    peer,
    put: new Array<number>(),
    get: new Array<number>(),
    range: new Array<number>()
  }))
  for (let round = -8; round < rounds; round++) {
    for (const operation of operations) {
      const first = Math.abs(round) % all.length
      for (const each of [...all.slice(first), ...all.slice(0, first)]) {
        const took = await time(each.peer, operation)
        if (round >= 0) each[operation].push(took)
      }
    }
  }
  return all.map(({ get, put, range }) => ({ put: median(put), get: median(get), range: median(range) }))
}

const storage = (url: string, keyFile: string) =>
  GcsStorage.layerBucket(bucket).pipe(
    Layer.provide(StorageConfig.layer),
    Layer.provide(
      Layer.effect(
        GcsConfig,
        Effect.map(GcsConfig, (config) => ({ ...config, endpoint: Option.some(url), keyFile: Option.some(keyFile) }))
      ).pipe(Layer.provide(GcsConfig.layer))
    )
  )

const bench = (rounds: number) =>
  Effect.gen(function* () {
    // Google's client adds more listeners to a stream than Node likes to see, at each upload.
    events.defaultMaxListeners = 20
    const { url } = yield* server
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), "spillway-bench-"))
    yield* Effect.addFinalizer(() => Effect.sync(() => fs.rmSync(directory, { recursive: true })))
    const account = Account.make()
    const keyFile = Account.writeKeyFile(directory, account)
    const store = Context.get(yield* Layer.build(storage(url, keyFile)), Storage)
    const library = libraryFor(url, account)
    const token = Object.fromEntries(yield* Effect.promise(() => library.authClient.getRequestHeaders()))
    const bare = undici(url, token)
    const peers = [ours(store), bare, official(library)]
    yield* Effect.promise(() => bare.put(source))
    const [spillway, alone, google] = yield* Effect.promise(() => measure(peers, rounds))
    if (spillway === undefined || alone === undefined || google === undefined) return
    console.log("ms, medians; the protocol server is a process of its own")
    console.log(`${"".padEnd(24)}${"1 MiB put".padStart(12)}${"1 MiB get".padStart(12)}${"64 KiB range".padStart(14)}`)
    for (const [i, cost] of [spillway, alone, google].entries()) {
      const [put, get, part] = [cost.put, cost.get, cost.range].map((ms) => ms.toFixed(2))
      console.log(`${peers[i]?.name.padEnd(24)}${put?.padStart(12)}${get?.padStart(12)}${part?.padStart(14)}`)
    }
    const ratio = (a: number, b: number) => Number((a / b).toFixed(2))
    console.log(
      JSON.stringify({
        putVsUndici: ratio(spillway.put, alone.put),
        getVsUndici: ratio(spillway.get, alone.get),
        rangeVsUndici: ratio(spillway.range, alone.range),
        /** The least favourable of the three; under 1 is faster. */
        vsOfficial: Math.max(...operations.map((operation) => ratio(spillway[operation], google[operation])))
      })
    )
  })

export const run = (args: ReadonlyArray<string>): Promise<void> =>
  Effect.runPromise(Effect.scoped(bench(args.includes("--quick") ? 15 : 60)))

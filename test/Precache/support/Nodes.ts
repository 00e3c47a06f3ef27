/** Servers on one database and one bucket. */
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { PgClient } from "@effect/sql-pg"
import { Context, Effect, Layer } from "effect"
import { Reactivity } from "effect/reactivity"
import { DbServer } from "../../../src/Db/DbServer.ts"
import { audioFrame, switchTo } from "../../support/Capturer.ts"
import { openCaptureSocket } from "../../support/CaptureSocket.ts"
import { urlOf } from "../../support/DatabaseUrl.ts"
import * as Account from "../../support/gcs/Account.ts"
import { GcsServer } from "../../support/gcs/Server.ts"
import { dataDirectory, type Server, startServer } from "../../support/Server.ts"

export const bucket = "audio"
export const rate = 8_000
export const epoch = 1_760_000_000
const adminKey = `spw_${"k".repeat(43)}`

/** Deterministic, differs from place to place. */
export const sound = (samples: number, seed = 0): Buffer => {
  const bytes = Buffer.alloc(samples * 2)
  for (let at = 0; at < samples; at++) bytes.writeInt16LE((((at + seed * 977) * 7919) % 65_536) - 32_768, at * 2)
  return bytes
}

export interface Answer {
  readonly status: number
  readonly body: Buffer
  readonly json: () => Record<string, unknown>
}

export class Nodes {
  readonly gcs: GcsServer
  readonly servers: Array<Server> = []
  readonly #env: Readonly<Record<string, string>>
  readonly #sql: PgClient.PgClient
  readonly #directories: Array<string> = []

  constructor(gcs: GcsServer, sql: PgClient.PgClient, env: Readonly<Record<string, string>>) {
    this.gcs = gcs
    this.#sql = sql
    this.#env = env
  }

  async start(): Promise<Server> {
    const directory = dataDirectory()
    this.#directories.push(directory)
    const server = await startServer(directory, this.#env)
    this.servers.push(server)
    return server
  }

  /** Starts a node that was killed, with what it has on disk. */
  async restart(server: Server): Promise<Server> {
    const at = this.servers.indexOf(server)
    const again = await startServer(this.#directories[at] ?? "", this.#env)
    this.servers[at] = again
    return again
  }

  get dataDirs(): ReadonlyArray<string> {
    return this.#directories
  }

  /** Runs a statement in a transaction that stays open until the release. */
  async hold(text: string): Promise<{ readonly release: () => Promise<void> }> {
    const [held, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const hold = Effect.andThen(
      this.#sql.unsafe(text),
      Effect.promise(() => {
        held.resolve()
        return released.promise
      })
    )
    const ended = Effect.runPromise(this.#sql.withTransaction(hold))
    await Promise.race([held.promise, ended])
    return {
      release: () => {
        released.resolve()
        return ended
      }
    }
  }

  async stop() {
    await Promise.all(this.servers.map((server) => server.kill()))
    await this.gcs.stop()
    for (const directory of this.#directories)
      Fs.rmSync(Path.dirname(directory), { recursive: true, force: true, maxRetries: 20 })
  }

  query<Row extends object>(text: string): Promise<ReadonlyArray<Row>> {
    return Effect.runPromise(this.#sql.unsafe<Row>(text))
  }

  /** Keys of the bucket under a prefix. */
  keys(prefix: string): ReadonlyArray<string> {
    return [...this.gcs.objects.bucket(bucket).keys()].filter((key) => key.startsWith(prefix)).sort()
  }
}

const nodes = (count: number, env: Readonly<Record<string, string>>) =>
  Effect.gen(function* () {
    const { login } = yield* DbServer
    const sql = yield* Effect.provide(PgClient.make({ ...login, maxConnections: 5 }), Reactivity.layer)
    const account = Account.make()
    const gcs = yield* Effect.promise(() => GcsServer.start({ account, buckets: [bucket], writesPerSecond: Infinity }))
    const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "spillway-precache-"))
    yield* Effect.addFinalizer(() => Effect.sync(() => Fs.rmSync(folder, { recursive: true })))
    const made = new Nodes(gcs, sql, {
      DATABASE_URL: urlOf(login),
      SPILLWAY_BUCKET: bucket,
      SPILLWAY_GCS_ENDPOINT: gcs.url,
      SPILLWAY_GCS_KEY_FILE: Account.writeKeyFile(folder, account),
      SPILLWAY_ADMIN_KEY: adminKey,
      SPILLWAY_CHUNK_DURATION: "1 second",
      SPILLWAY_COMMIT_INTERVAL: "50 millis",
      SPILLWAY_DB_POOL: "10",
      PRECACHE_SETTLE: "1 second",
      ...env
    })
    yield* Effect.addFinalizer(() => Effect.promise(() => made.stop()))
    for (let node = 0; node < count; node++) yield* Effect.promise(() => made.start())
    return made
  })

/** Nodes for all tests of a file. */
export class World extends Context.Service<World, Nodes>()("spillway/test/Precache/support/Nodes/World") {
  static readonly layer = (env: Readonly<Record<string, string>>, count = 2) => Layer.effect(World, nodes(count, env))
}

export const call = async (server: Pick<Server, "url" | "key">, method: string, path: string): Promise<Answer> => {
  const response = await fetch(`${server.url}${path}`, { method, headers: { authorization: `Bearer ${server.key}` } })
  const body = Buffer.from(await response.arrayBuffer())
  return { status: response.status, body, json: () => JSON.parse(body.toString()) }
}

/** Calls again until the result holds. */
export const until = async <A>(work: () => A | Promise<A>, holds: (value: A) => boolean): Promise<A> => {
  for (;;) {
    const value = await work()
    if (holds(value)) return value
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

/** Records pieces of a conversation, each from a second after `epoch`, and returns when the store has all. */
export const record = async (
  nodes: Nodes,
  server: Server,
  conversation: string,
  pieces: ReadonlyArray<{ readonly at: number; readonly pcm: Buffer }>
) => {
  const query = `?sample_rate=${rate}&audio_timeline=2&ack=1`
  const stored = async () => {
    const [row] = await nodes.query<{ readonly n: number }>(
      `select coalesce(sum(samples), 0)::int as n from chunks where conversation_id = '${conversation}' and not lost`
    )
    return row?.n ?? 0
  }
  const before = await stored()
  const socket = await openCaptureSocket(server, { query })
  socket.socket.send(switchTo(conversation))
  let bytes = 0
  for (const { at, pcm } of pieces) {
    socket.socket.send(audioFrame(epoch + at, pcm))
    bytes += pcm.length
  }
  await socket.acknowledged(bytes)
  socket.socket.close()
  await socket.closed
  await until(stored, (samples) => samples >= before + bytes / 2)
}

interface ArtifactRow {
  readonly file: string
  readonly key: string | null
  readonly reason: string | null
  readonly attempts: number
  readonly isWanted: boolean
}

export const artifacts = (nodes: Nodes, conversation: string) =>
  nodes.query<ArtifactRow>(
    `select file, key, reason, attempts, due_at is not null as "isWanted" from artifacts
     where conversation_id = '${conversation}' order by file`
  )

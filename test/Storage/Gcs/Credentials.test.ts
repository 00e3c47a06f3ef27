/** Where tokens come from, and when they are fetched again. */
import { assert, it } from "@effect/vitest"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { Duration, Effect, Layer, Option, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Storage } from "../../../src/Storage.ts"
import type { StorageError } from "../../../src/Storage.ts"
import type { GcsConfig } from "../../../src/Storage/Gcs/GcsConfig.ts"
import * as Credentials from "../../../src/Storage/Gcs/Credentials.ts"
import * as Http from "../../../src/Storage/Gcs/Http.ts"
import { allPermissions } from "../../support/gcs/Server.ts"
import { TokenServer, writeWorkloadIdentity } from "../../support/gcs/TokenServer.ts"
import { account, bucket, keyFile, layerFor, limits, noise, startServer } from "../support/TestGcs.ts"
import { temporaryDirectory } from "../../support/TemporaryDirectory.ts"

const token = "token-of-a-workload"

/** Of a client whose servers answer: a busy machine may take seconds for it. */
const patient = {
  attemptTimeout: Duration.seconds(20),
  stallTimeout: Duration.seconds(20),
  deadline: Duration.minutes(1)
}
/** Of one whose token server never does. */
const impatient = {
  attemptTimeout: Duration.seconds(1),
  stallTimeout: Duration.seconds(20),
  deadline: Duration.seconds(2)
}

const world = Effect.gen(function* () {
  const tokens = yield* Effect.acquireRelease(
    Effect.promise(() => TokenServer.start(token)),
    (server) => Effect.promise(() => server.stop())
  )
  const directory = yield* temporaryDirectory
  const server = yield* startServer({ account, tokens: [token] })
  const keyFile = writeWorkloadIdentity(directory, tokens)
  const layerWith = (config: Partial<GcsConfig["Service"]>) =>
    layerFor(server.url, { keyFile: Option.some(keyFile), ...config })
  return { keyFile, layer: layerWith(patient), layerWith, server, tokens }
}).pipe(Effect.provide(NodeFileSystem.layer))

const object = { key: "a", body: noise(10), contentType: "a/b", metadata: {} }

it.live("fetches a workload identity's token once, and opens the bucket with it", () =>
  Effect.scoped(
    Effect.gen(function* () {
      const { layer, server, tokens } = yield* world
      yield* Storage.use((storage) =>
        Effect.gen(function* () {
          yield* storage.put(object)
          assert.deepStrictEqual(yield* Stream.mkUint8Array(storage.get("a")), object.body)
        })
      ).pipe(Effect.provide(layer))
      assert.strictEqual(tokens.asked, 1)
      assert.strictEqual(server.seen.at(-1)?.headers["authorization"], `Bearer ${token}`)
    })
  )
)

it.live(
  "starts without an answer of the token server, fails requests at their deadline, and works once it answers",
  () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { layerWith, server, tokens } = yield* world
        tokens.behaviour = "hang"
        const use = Effect.fnUntraced(function* (storage: Storage["Service"]) {
          const requests: ReadonlyArray<Effect.Effect<unknown, StorageError>> = [
            Stream.runDrain(storage.get("a")),
            storage.head("a"),
            storage.put(object)
          ]
          const failed = yield* Effect.forEach(requests, (request) => Effect.timed(Effect.flip(request)), {
            concurrency: "unbounded"
          })
          for (const [took, failure] of failed) {
            assert.strictEqual(failure._tag, "StorageUnavailable")
            assert.include(failure.message, "no token")
            assert.isBelow(Duration.toSeconds(took), 30)
          }
          assert.strictEqual(server.seen.length, 0)
          tokens.behaviour = "answer"
          // On a busy machine even a prompt response can miss such a short deadline.
          yield* Effect.retry(storage.put(object), { times: 20 })
        })
        yield* Effect.provide(Storage.use(use), layerWith(impatient))
      })
    )
)

it.live("starts when the token server can't be reached, but not when it rejects the request", () =>
  Effect.scoped(
    Effect.gen(function* () {
      const { layer, tokens } = yield* world
      tokens.behaviour = "reset"
      yield* Effect.provide(Effect.void, layer, { local: true })
      tokens.behaviour = "refuse"
      const refusal = yield* Effect.flip(Effect.provide(Effect.void, layer, { local: true }))
      assert.match(refusal.message, /Google does not accept the credentials: .*The audience is another one/)
    })
  )
)

it.effect("fetches a rejected token again, at most every 10 seconds", () =>
  Effect.scoped(
    Effect.gen(function* () {
      const { keyFile, tokens } = yield* world
      const { headers, discardToken: refused } = yield* Credentials.make(
        { ...limits, ...patient, keyFile: Option.some(keyFile) },
        bucket
      )
      const current = Effect.map(headers, ({ authorization }) => authorization)
      yield* current
      tokens.token = "another"
      assert.strictEqual(yield* current, `Bearer ${token}`)
      refused()
      assert.strictEqual(yield* current, "Bearer another")
      tokens.token = "a third"
      refused()
      assert.strictEqual(yield* current, "Bearer another")
      yield* TestClock.adjust("10 seconds")
      refused()
      assert.strictEqual(yield* current, "Bearer a third")
      assert.strictEqual(tokens.asked, 3)
    })
  )
)

it.live("completes reads and writes when the token is revoked while the node runs", () =>
  Effect.scoped(
    Effect.gen(function* () {
      const { layer, server, tokens } = yield* world
      yield* Storage.use((storage) =>
        Effect.gen(function* () {
          yield* storage.put(object)
          tokens.token = "another"
          server.takesOnly("another")
          const uses: ReadonlyArray<Effect.Effect<unknown, StorageError>> = [
            Stream.runDrain(storage.get("a")),
            storage.put({ ...object, key: "b" }),
            storage.head("a")
          ]
          yield* Effect.all(uses, { concurrency: "unbounded", discard: true })
          assert.strictEqual(tokens.asked, 2)
        })
      ).pipe(Effect.provide(layer))
    })
  )
)

it.live("retries once with a new token after a 401, then fails with the reason", () =>
  Effect.scoped(
    Effect.gen(function* () {
      const server = yield* startServer({ account })
      let count = 0
      const refused = () => void count++
      const http = yield* Http.make(
        { ...limits, ...patient },
        { origin: server.url, headers: Effect.succeed({}), discardToken: refused }
      )
      const call = { method: "GET", path: `/storage/v1/b/${bucket}/o` } as const
      assert.strictEqual((yield* http.exchange(call)).status, 401)
      assert.deepStrictEqual([count, server.seen.length], [1, 2])
      yield* http.media({ ...call, path: `${call.path}/a?alt=media` }, "first", () => {})
      assert.deepStrictEqual([count, server.seen.length], [2, 4])
    })
  )
)

/** The variable that the library reads; restored after the test. */
const environment = (name: string, value: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      process.env[name] = value
    }),
    () =>
      Effect.sync(() => {
        delete process.env[name]
      })
  )

it.live("reads application default credentials from GOOGLE_APPLICATION_CREDENTIALS", () =>
  Effect.scoped(
    Effect.gen(function* () {
      const { keyFile } = yield* world
      yield* environment("GOOGLE_APPLICATION_CREDENTIALS", keyFile)
      const { headers } = yield* Credentials.make({ ...limits, ...patient }, bucket)
      assert.deepStrictEqual(yield* headers, { authorization: `Bearer ${token}` })
      yield* environment("GOOGLE_APPLICATION_CREDENTIALS", "/no/such/file")
      const missing = yield* Credentials.make({ ...limits, ...patient }, bucket)
      const fault = yield* Effect.flip(missing.headers)
      assert.isFalse(fault.isTransient)
      assert.match(fault.reason, /^no token: .*GOOGLE_APPLICATION_CREDENTIALS.*\/no\/such\/file does not exist/)
    })
  )
)

it.live("fetches a machine's token from its metadata server", () =>
  Effect.scoped(
    Effect.gen(function* () {
      const { tokens } = yield* world
      yield* environment("GCE_METADATA_HOST", tokens.host)
      const { headers } = yield* Credentials.make({ ...limits, ...patient }, bucket)
      assert.deepStrictEqual(yield* headers, { authorization: `Bearer ${token}` })
      assert.strictEqual(tokens.asked, 1)
    })
  )
)

it.live.each([
  [["storage.objects.list"], /the credentials have no permission for the bucket: .*storage\.objects\.list/],
  [["storage.objects.delete", "storage.objects.update"], /lack storage\.objects\.delete, storage\.objects\.update for/]
] as const)("names a missing permission at the start: %j", ([missing, line]) =>
  Effect.scoped(
    Effect.gen(function* () {
      const permissions = allPermissions.filter((each) => !missing.some((other) => other === each))
      const server = yield* startServer({ account, permissions })
      const layer = layerFor(server.url, { ...patient, keyFile: Option.some(yield* keyFile) })
      assert.match((yield* Effect.flip(Layer.build(layer))).message, line)
    })
  )
)

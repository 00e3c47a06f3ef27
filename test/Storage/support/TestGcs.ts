/** A store on the protocol server; both end with the test. */
import { Duration, Effect, Layer, Option } from "effect"
import { Storage } from "../../../src/Storage.ts"
import { GcsConfig } from "../../../src/Storage/Gcs/GcsConfig.ts"
import * as GcsStorage from "../../../src/Storage/Gcs/GcsStorage.ts"
import { StorageConfig } from "../../../src/Storage/StorageConfig.ts"
import * as Account from "../../support/gcs/Account.ts"
import { temporaryDirectory } from "../../support/TemporaryDirectory.ts"
import { GcsServer } from "../../support/gcs/Server.ts"
import type { Options } from "../../support/gcs/Server.ts"

export const bucket = "spillway-test"

/** Short times, so that tests are fast. */
export const limits: GcsConfig["Service"] = {
  bucket: Option.some(bucket),
  endpoint: Option.none(),
  keyFile: Option.none(),
  connections: 128,
  attemptTimeout: Duration.seconds(3),
  stallTimeout: Duration.millis(150),
  deadline: Duration.seconds(4),
  retryBase: Duration.millis(5),
  retryCap: Duration.millis(50),
  readAhead: 262_144,
  multipartSize: 1_048_576,
  chunkSize: 1_048_576,
  signedUrls: 100
}

const storageConfig = Layer.succeed(StorageConfig, {
  readPiece: 65_536,
  listHeads: 4,
  window: 8,
  knownDirectories: 3,
  leftoverAge: Duration.hours(1),
  urls: 10,
  urlResponses: 10,
  urlResponsesPerUser: 5
})

export const layerFor = (url: string, config: Partial<GcsConfig["Service"]> = {}) =>
  Layer.fresh(GcsStorage.layerBucket(bucket)).pipe(
    Layer.provide([storageConfig, Layer.succeed(GcsConfig, { ...limits, endpoint: Option.some(url), ...config })])
  )

export const startServer = (options: Options = {}) =>
  Effect.acquireRelease(
    Effect.promise(() => GcsServer.start({ buckets: [bucket], writesPerSecond: Number.POSITIVE_INFINITY, ...options })),
    (server) => Effect.promise(() => server.stop())
  )

/** One pair of keys for all tests of a file: making them takes a moment. */
export const account = Account.make()

export const keyFile = Effect.map(temporaryDirectory, (directory) => Account.writeKeyFile(directory, account))

/** Runs with a new server, a store and, by default, new credentials. */
export const using = <A, E, R>(
  use: (server: GcsServer, storage: Storage["Service"]) => Effect.Effect<A, E, R>,
  config: Partial<GcsConfig["Service"]> = {},
  options: Options = {}
) =>
  Effect.scoped(
    Effect.gen(function* () {
      const server = yield* startServer({ account, ...options })
      const key = Option.some(yield* keyFile)
      return yield* Storage.use((storage) => use(server, storage)).pipe(
        Effect.provide(layerFor(server.url, { keyFile: key, ...config }), { local: true })
      )
    })
  )

export const noise = (size: number): Uint8Array =>
  Uint8Array.from({ length: size }, (_, i) => (i * 2_654_435_761) >>> 13)

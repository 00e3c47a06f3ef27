/** The object store in Google Cloud Storage keeps the contract, against the protocol server, with tokens and signatures. */
import { Effect, Layer, Option } from "effect"
import { account, keyFile, layerFor, startServer } from "../support/TestGcs.ts"
import { suite } from "../StorageTest.ts"

const layer = Effect.gen(function* () {
  const server = yield* startServer({ account })
  return layerFor(server.url, { keyFile: Option.some(yield* keyFile) })
})

suite("GcsStorage", Layer.unwrap(layer))

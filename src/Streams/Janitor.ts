/** Ends broadcasts whose captures are gone. */
import { Duration, Effect, Layer } from "effect"
import * as BackgroundLoop from "../BackgroundLoop.ts"
import { Streams } from "../Streams.ts"
import { StreamsConfig } from "./StreamsConfig.ts"

export const layer = Layer.effectDiscard(
  Effect.gen(function* () {
    const { sweep } = yield* Streams
    const config = yield* StreamsConfig
    yield* BackgroundLoop.fork(
      Effect.map(sweep, (count) => (count === 0 ? config.sweep : Duration.zero)),
      { failed: "broadcasts could not be ended", retryAfter: config.sweep }
    )
  })
)

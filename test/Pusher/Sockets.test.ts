/** How many conversations a user may select: `src/Pusher/Sockets.ts`. */
import { assert, it } from "@effect/vitest"
import { ConfigProvider, Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import { BulkheadConfig } from "../../src/Bulkhead.ts"
import { PusherConfig } from "../../src/Pusher/PusherConfig.ts"
import { Sockets } from "../../src/Pusher/Sockets.ts"
import { Readiness } from "../../src/Readiness.ts"
import { ReadinessConfig } from "../../src/Readiness/ReadinessConfig.ts"

const sockets = Sockets.layer.pipe(
  Layer.provide([PusherConfig.layer, BulkheadConfig.layer, Readiness.layer.pipe(Layer.provide(ReadinessConfig.layer))]),
  Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnvRecord({})))
)

it.effect("lets a user who retries ten times a second select 120 conversations a minute", () =>
  Effect.gen(function* () {
    const { maySelect } = yield* Sockets
    while (maySelect("ann"));
    let selected = 0
    for (let tries = 0; tries < 600; tries++) {
      yield* TestClock.adjust("100 millis")
      if (maySelect("ann")) selected++
    }
    assert.approximately(selected, 120, 1)
    assert.isTrue(maySelect("bob"))
  }).pipe(Effect.provide(sockets))
)

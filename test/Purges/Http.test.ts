/** `/v1/deletions` of a node whose clock is wrong: it shows 1970. */
import { assert, layer } from "@effect/vitest"
import { DateTime, Effect, Layer, Option, References } from "effect"
import { HttpClient, HttpClientRequest } from "effect/http"
import { Keys } from "../../src/Auth/Keys.ts"
import { StorageBulkheads } from "../../src/Bulkhead.ts"
import { BulkheadConfig } from "../../src/Bulkhead/BulkheadConfig.ts"
import { Deletion } from "../../src/Deletion.ts"
import { Purges } from "../../src/Purges.ts"
import * as Http from "../../src/Purges/Http.ts"
import { Recording } from "../../src/Recording.ts"
import * as MemoryStorage from "../../src/Storage/MemoryStorage.ts"
import { served } from "../Http/support/Served.ts"
import * as Postgres from "../support/Postgres.ts"

const keys = Layer.mock(Keys, {
  find: () =>
    Effect.succeedSome({
      id: "ada",
      uid: "ada",
      scopes: [],
      createdAt: DateTime.makeUnsafe(0),
      expiresAt: Option.none()
    })
})
const recording = Layer.mock(Recording, {
  isLive: () => Effect.succeed(true),
  journal: () => assert.fail("not used"),
  captures: () => [],
  uploads: () => assert.fail("not used")
})
const world = served(Http.layer).pipe(
  Layer.provide(Purges.layer),
  Layer.provide(Deletion.layer),
  Layer.provide([keys, recording, StorageBulkheads.layer.pipe(Layer.provide(BulkheadConfig.layer))]),
  Layer.provide(MemoryStorage.layer),
  Layer.provideMerge(Postgres.layer),
  Layer.provide(Layer.succeed(References.MinimumLogLevel, "None"))
)

const call = (method: "GET" | "DELETE", path: string) =>
  HttpClient.execute(HttpClientRequest.bearerToken(HttpClientRequest.make(method)(path), "spw_ada")).pipe(
    Effect.flatMap((response) => response.text),
    Effect.map((text) => JSON.parse(text))
  )

layer(world)("/v1/deletions", (it) => {
  it.effect("tells the time that is left to undo a deletion by the clock that starts it", () =>
    Effect.gen(function* () {
      yield* call("DELETE", "/v1/conversations/c?delay=600")
      const { at, deletions } = yield* call("GET", "/v1/deletions")
      const left = Date.parse(deletions[0].due_at) - Date.parse(at)
      assert.isTrue(left > 0 && left <= 600_000, `${left} ms`)
    })
  )
})

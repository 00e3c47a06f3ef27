/** Parts of requests that are not over in time, over a real socket. */
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Option } from "effect"
import { HttpClient, HttpRouter, HttpServerResponse } from "effect/http"
import { Keys } from "../../src/Auth/Keys.ts"
import * as Deadlines from "../../src/Deadlines.ts"
import { Expiry, Problem } from "../../src/Http.ts"
import { served } from "./support/Served.ts"

const late = () => Problem.unavailable("late", "It took too long", "Try again.", 5)
const state = { ended: 0 }

const routes = HttpRouter.use(
  Effect.fnUntraced(function* (router) {
    const deadlines = yield* Deadlines.make
    const add = (
      path: HttpRouter.PathInput,
      part: Effect.Effect<unknown>,
      rest: Effect.Effect<unknown> = Effect.void
    ) => {
      const counted = Effect.acquireRelease(Effect.void, () => Effect.sync(() => state.ended++))
      const answer = Effect.andThen(Expiry.within(deadlines, 300, late, part), rest)
      return router.add("GET", path, Effect.andThen(counted, Effect.as(answer, HttpServerResponse.text("heard"))))
    }
    yield* add("/never", Effect.never)
    yield* add("/handled", Effect.ignoreCause(Effect.never))
    yield* add("/at-once", Effect.void, Effect.sleep("700 millis"))
    yield* add("/in-time", Effect.sleep("100 millis"), Effect.sleep("700 millis"))
  })
)

const noKeys = Layer.mock(Keys, { find: () => Effect.succeed(Option.none()) })

const get = (path: string) =>
  Effect.gen(function* () {
    const { headers, status, text } = yield* HttpClient.get(path)
    return { status, retryAfter: headers["retry-after"], text: yield* text }
  })

layer(served(routes).pipe(Layer.provide(noKeys)), { excludeTestServices: true })("a part of a request", (it) => {
  it.effect("that is not over in time ends the request with its problem, whatever else would handle it", () =>
    Effect.gen(function* () {
      for (const path of ["/never", "/handled"]) {
        state.ended = 0
        const { retryAfter, status, text } = yield* get(path)
        assert.deepStrictEqual(
          [status, retryAfter, JSON.parse(text).type],
          [503, "5", "urn:spillway:problem:late"],
          path
        )
        assert.strictEqual(state.ended, 1)
      }
    })
  )

  it.effect("that is over in time does not end what follows", () =>
    Effect.gen(function* () {
      for (const path of ["/at-once", "/in-time"]) {
        const { status, text } = yield* get(path)
        assert.deepStrictEqual([status, text], [200, "heard"], path)
      }
    })
  )
})

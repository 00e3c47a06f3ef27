/** Routes of endpoints that answer raw requests, over a real socket. */
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Option, Schema } from "effect"
import { HttpClient, HttpClientRequest, HttpServerResponse } from "effect/http"
import { Keys } from "../../src/Auth/Keys.ts"
import { Problem, RawRoute } from "../../src/Http.ts"
import { Id } from "../../src/Id.ts"
import { served } from "./support/Served.ts"

const endpoint = {
  path: "/v1/echo/:id/:name",
  params: Schema.Struct({ id: Id, name: Schema.String }),
  query: Schema.Struct({ size: Schema.optionalKey(Schema.FiniteFromString), uid: Schema.optionalKey(Id) })
} as const

const route = RawRoute.layer(
  endpoint,
  Effect.succeed(({ params, query, request }) =>
    params.name === "none"
      ? Problem.notFound("There is none.")
      : Effect.succeed(HttpServerResponse.jsonUnsafe({ params, query, method: request.method }))
  )
)

const noKeys = Layer.mock(Keys, { find: () => Effect.succeed(Option.none()) })

const send = (path: string, method: "GET" | "HEAD" | "POST" = "GET") =>
  Effect.gen(function* () {
    const response = yield* HttpClient.execute(HttpClientRequest.make(method)(path))
    return { status: response.status, headers: response.headers, text: yield* response.text }
  })

layer(served(route).pipe(Layer.provide(noKeys)))("a raw route", (it) => {
  it.effect("gets its parameters decoded, and ignores unknown ones", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(JSON.parse((yield* send("/v1/echo/a-1/b%20c?size=1.5&other=1")).text), {
        params: { id: "a-1", name: "b c" },
        query: { size: 1.5 },
        method: "GET"
      })
      const { query } = JSON.parse((yield* send("/v1/echo/a-1/b")).text)
      assert.deepStrictEqual(query, {})
      assert.strictEqual((yield* send("/v1/echo/a-1/b", "HEAD")).status, 200)
    })
  )

  it.effect("rejects what does not fit its schemas, with every mistake of the part", () =>
    Effect.gen(function* () {
      const path = yield* send("/v1/echo/a%21/b")
      assert.strictEqual(path.status, 400)
      assert.deepStrictEqual(
        JSON.parse(path.text).errors.map((each: { path: unknown }) => each.path),
        [["params", "id"]]
      )
      const query = yield* send("/v1/echo/a/b?size=x&uid=..")
      assert.strictEqual(query.status, 400)
      assert.deepStrictEqual(
        JSON.parse(query.text).errors.map((each: { path: unknown }) => each.path),
        [
          ["query", "size"],
          ["query", "uid"]
        ]
      )
    })
  )

  it.effect("answers with the problem of a handler that fails, and with 405 to other methods", () =>
    Effect.gen(function* () {
      const none = yield* send("/v1/echo/a/none")
      assert.deepStrictEqual([none.status, JSON.parse(none.text).detail], [404, "There is none."])
      const post = yield* send("/v1/echo/a/b", "POST")
      assert.deepStrictEqual([post.status, post.headers["allow"]], [405, "GET"])
    })
  )
})

/** Every failure reaches the client as a problem. */
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { HttpClient, HttpClientRequest, HttpRouter, HttpServerResponse } from "effect/http"
import { HttpApi, HttpApiBuilder, HttpApiEndpoint, HttpApiGroup } from "effect/http-api"
import { DbUnavailable } from "../../src/Db.ts"
import { Keys } from "../../src/Auth/Keys.ts"
import { Problem } from "../../src/Http/Problem.ts"
import { strict } from "../../src/Http.ts"
import { served } from "./support/Served.ts"

const Body = Schema.Struct({
  type: Schema.String,
  title: Schema.String,
  status: Schema.Int,
  detail: Schema.optional(Schema.String),
  errors: Schema.optional(Schema.Array(Schema.Struct({ path: Schema.Array(Schema.String), message: Schema.String }))),
  id: Schema.optional(Schema.String)
})

class Shapes extends HttpApi.make("test").add(
  HttpApiGroup.make("shapes")
    .add(
      HttpApiEndpoint.get("list", "/shapes", {
        query: { limit: Schema.optionalKey(Schema.Int), page: Schema.optionalKey(Schema.Int) },
        success: Schema.Int,
        error: Problem.documented(409)
      }),
      HttpApiEndpoint.post("create", "/shapes", {
        payload: Schema.Struct({ sides: Schema.Int, name: Schema.NonEmptyString }),
        success: Schema.Int
      })
    )
    .annotateMerge(strict)
) {}

const shapes = HttpApiBuilder.layer(Shapes).pipe(
  Layer.provide(
    HttpApiBuilder.group(Shapes, "shapes", (handlers) =>
      handlers.handleAll({
        list: ({ query }) =>
          query.limit === 9
            ? Problem.conflict("taken", "It is taken", "By another.")
            : Effect.succeed(query.limit ?? 0),
        create: ({ payload }) => Effect.succeed(payload.sides)
      })
    )
  )
)

const routes = Layer.mergeAll(
  shapes,
  HttpRouter.add("GET", "/things/:id", HttpServerResponse.text("thing")),
  HttpRouter.add(
    "GET",
    "/database",
    Effect.fail(new DbUnavailable({ operation: "Secret.table", attempts: 6, cause: "password=hunter2" }))
  ),
  HttpRouter.add("GET", "/bug", Effect.die(new Error("internal secret"))),
  HttpRouter.add("GET", "/plain", HttpServerResponse.text("no", { status: 418 }))
)

const request = (request: HttpClientRequest.HttpClientRequest) =>
  Effect.gen(function* () {
    const response = yield* (yield* HttpClient.HttpClient).execute(request)
    assert.strictEqual(response.headers["content-type"], "application/problem+json")
    const body = yield* Schema.decodeUnknownEffect(Body)(yield* response.json)
    assert.strictEqual(body.status, response.status)
    return { ...body, headers: response.headers }
  })

layer(served(routes, { MAX_BODY: "1 KiB" }).pipe(Layer.provide(Layer.mock(Keys, {}))))("problems", (it) => {
  it.effect("answers an unknown path with 404", () =>
    Effect.gen(function* () {
      const problem = yield* request(HttpClientRequest.get("/nowhere"))
      assert.strictEqual(problem.status, 404)
      assert.strictEqual(problem.type, "urn:spillway:problem:not-found")
    })
  )

  it.effect("answers a known path's other methods with 405 and the allowed methods", () =>
    Effect.gen(function* () {
      const problem = yield* request(HttpClientRequest.delete("/things/a%2Fb"))
      assert.deepStrictEqual([problem.status, problem.headers["allow"]], [405, "GET"])
      const shapes = yield* request(HttpClientRequest.put("/shapes"))
      assert.deepStrictEqual([shapes.status, shapes.headers["allow"]], [405, "GET, POST"])
    })
  )

  it.effect("names the part of the request that does not decode, and what was expected", () =>
    Effect.gen(function* () {
      const query = yield* request(HttpClientRequest.get("/shapes?limit=many"))
      assert.strictEqual(query.status, 400)
      assert.deepStrictEqual(query.errors?.[0]?.path, ["query", "limit"])
      assert.match(query.errors?.[0]?.message ?? "", /integer|number/i)
      const payload = yield* request(
        HttpClientRequest.post("/shapes").pipe(HttpClientRequest.bodyJsonUnsafe({ sides: "x", name: "x" }))
      )
      assert.deepStrictEqual([payload.status, payload.errors?.[0]?.path], [400, ["body", "sides"]])
      const json = yield* request(
        HttpClientRequest.post("/shapes").pipe(HttpClientRequest.bodyText("{", "application/json"))
      )
      assert.deepStrictEqual([json.status, json.errors?.[0]?.message], [400, "Expected a valid JSON body"])
    })
  )

  it.effect("names every invalid field of a query or body, unknown ones included", () =>
    Effect.gen(function* () {
      const pathsOf = ({ errors }: typeof Body.Type) => errors?.map(({ path }) => path.join("."))
      const query = yield* request(HttpClientRequest.get("/shapes?limit=many&page=first"))
      assert.deepStrictEqual(pathsOf(query), ["query.limit", "query.page"])
      const payload = yield* request(
        HttpClientRequest.post("/shapes").pipe(
          HttpClientRequest.bodyJsonUnsafe({ sides: "x", name: "", colour: "red" })
        )
      )
      assert.strictEqual(payload.status, 400)
      assert.sameMembers([...(pathsOf(payload) ?? [])], ["body.sides", "body.name", "body.colour"])
      assert.match(payload.detail ?? "", /body\.colour: There is no such field/)
    })
  )

  it.effect("ignores unknown parameters of links", () =>
    Effect.gen(function* () {
      const response = yield* HttpClient.get("/shapes?limit=3&utm_source=mail")
      assert.strictEqual(response.status, 200)
    })
  )

  it.effect("answers a body over the bound with 413, another type with 415", () =>
    Effect.gen(function* () {
      const large = yield* request(
        HttpClientRequest.post("/shapes").pipe(HttpClientRequest.bodyText(`"${"x".repeat(2000)}"`, "application/json"))
      )
      assert.strictEqual(large.status, 413)
      const type = yield* request(
        HttpClientRequest.post("/shapes").pipe(HttpClientRequest.bodyText("sides=1", "text/csv"))
      )
      assert.strictEqual(type.status, 415)
    })
  )

  it.effect("answers 503 with Retry-After when the database is down, without the query", () =>
    Effect.gen(function* () {
      const { headers, ...problem } = yield* request(HttpClientRequest.get("/database"))
      assert.deepStrictEqual([problem.status, headers["retry-after"]], [503, "1"])
      assert.notMatch(JSON.stringify(problem), /Secret|hunter2/)
    })
  )

  it.effect("answers a defect with 500 and an id, without its cause", () =>
    Effect.gen(function* () {
      const { headers: _, ...problem } = yield* request(HttpClientRequest.get("/bug"))
      assert.strictEqual(problem.status, 500)
      assert.match(problem.id ?? "", /^[0-9a-f-]{36}$/)
      assert.notMatch(JSON.stringify(problem), /secret/)
    })
  )

  it.effect("returns a handler's problem unchanged, and makes a bare error status a problem", () =>
    Effect.gen(function* () {
      const conflict = yield* request(HttpClientRequest.get("/shapes?limit=9"))
      assert.deepStrictEqual(
        [conflict.status, conflict.type, conflict.detail],
        [409, "urn:spillway:problem:taken", "By another."]
      )
      assert.strictEqual((yield* request(HttpClientRequest.get("/plain"))).status, 418)
    })
  )

  it.effect("accepts ids of 128 characters in a path", () =>
    Effect.gen(function* () {
      const response = yield* HttpClient.get(`/things/${"x".repeat(128)}`)
      assert.strictEqual(response.status, 200)
    })
  )
})

/** Authentication, and acting for another user. */
import { assert, layer } from "@effect/vitest"
import { DateTime, Effect, Layer, Option, Redacted } from "effect"
import { HttpClient, HttpClientRequest, HttpRouter, HttpServerResponse } from "effect/http"
import { Authentication } from "../../src/Auth/Authentication.ts"
import { Keys } from "../../src/Auth/Keys.ts"
import { served } from "../Http/support/Served.ts"

const routes = HttpRouter.use(
  Effect.fnUntraced(function* (router) {
    const { authenticate } = yield* Authentication
    yield* router.add("GET", "/strict", (request) =>
      Effect.map(authenticate(request), (who) => HttpServerResponse.jsonUnsafe(who))
    )
    yield* router.add("GET", "/open", (request) =>
      Effect.map(authenticate(request, { query: true, subprotocol: true }), (who) => HttpServerResponse.jsonUnsafe(who))
    )
  })
)

const person = { id: "key_1", uid: "ada", scopes: [], createdAt: DateTime.makeUnsafe(0), expiresAt: Option.none() }

const keys = Layer.mock(Keys, {
  find: (secret) =>
    Effect.succeed(
      Redacted.value(secret) === "spw_ada"
        ? Option.some(person)
        : Redacted.value(secret) === "spw_service"
          ? Option.some({ ...person, id: "key_2", uid: "backend", scopes: ["service" as const] })
          : Option.none()
    )
})

const get = (path: string, headers: Record<string, string> = {}) =>
  Effect.gen(function* () {
    const response = yield* HttpClient.execute(HttpClientRequest.get(path).pipe(HttpClientRequest.setHeaders(headers)))
    return { status: response.status, headers: response.headers, body: yield* response.json }
  })

const ada = { uid: "ada", scopes: [], keyId: "key_1" }

layer(served(routes).pipe(Layer.provide(keys)))("access", (it) => {
  it.effect("authenticates a request as the owner of its key", () =>
    Effect.gen(function* () {
      const { body, status } = yield* get("/strict", { authorization: "Bearer spw_ada" })
      assert.deepStrictEqual([status, body], [200, ada])
    })
  )

  it.effect("answers a missing or unknown key with 401 and how to send one", () =>
    Effect.gen(function* () {
      for (const headers of [{}, { authorization: "Bearer nope" }, { authorization: "Basic spw_ada" }]) {
        const refused = yield* get("/strict", headers)
        assert.deepStrictEqual([refused.status, refused.headers["www-authenticate"]], [401, "Bearer"])
      }
    })
  )

  it.effect("accepts a key in the URL or the subprotocol only on routes that allow it", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* get("/strict?access_token=spw_ada")).status, 401)
      assert.strictEqual((yield* get("/strict", { "sec-websocket-protocol": "bearer.spw_ada" })).status, 401)
      assert.deepStrictEqual((yield* get("/open?access_token=spw_ada")).body, ada)
      assert.deepStrictEqual((yield* get("/open", { "sec-websocket-protocol": "v1, bearer.spw_ada" })).body, ada)
    })
  )

  it.effect("allows only a service key to act for another user", () =>
    Effect.gen(function* () {
      const service = { authorization: "Bearer spw_service" }
      const { body } = yield* get("/strict?uid=grace", service)
      assert.deepStrictEqual(body, { uid: "grace", isActing: true, scopes: ["service"], keyId: "key_2" })
      assert.strictEqual((yield* get("/strict?uid=grace", { authorization: "Bearer spw_ada" })).status, 403)
      assert.strictEqual((yield* get("/strict?uid=ada", { authorization: "Bearer spw_ada" })).status, 200)
      assert.strictEqual((yield* get("/strict?uid=..", service)).status, 400)
      assert.strictEqual((yield* get("/strict?uid=a%2Fb", service)).status, 400)
    })
  )
})

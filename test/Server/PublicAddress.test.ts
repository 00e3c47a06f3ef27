/** The URL that clients are given for this node. */
import { assert, it } from "@effect/vitest"
import { Effect, Layer, Option } from "effect"
import { HttpServer } from "effect/http"
import { AdminKey } from "../../src/Auth/AdminKey.ts"
import * as Announcement from "../../src/Server/Announcement.ts"
import { HttpConfig } from "../../src/Http/HttpConfig.ts"
import * as PublicAddress from "../../src/Server/PublicAddress.ts"
import { PublicUrl } from "../../src/PublicUrl.ts"
import { environment, listening } from "../Http/support/Served.ts"

const base = (env: Record<string, string>) =>
  PublicUrl.useSync(({ base }) => base()).pipe(
    Effect.provide(
      PublicAddress.layer.pipe(Layer.provide(Layer.fresh(HttpConfig.layer)), Layer.provide(environment(env)))
    )
  )

it.effect.each([
  [{ SPILLWAY_PORT: "8080" }, "http://127.0.0.1:8080"],
  [{ SPILLWAY_PORT: "80", SPILLWAY_HOST: "0.0.0.0" }, "http://localhost:80"],
  [{ SPILLWAY_PORT: "80", SPILLWAY_HOST: "::" }, "http://localhost:80"],
  [{ SPILLWAY_PORT: "80", SPILLWAY_HOST: "::1" }, "http://[::1]:80"],
  [{ SPILLWAY_PUBLIC_URL: "https://audio.example.org/" }, "https://audio.example.org"],
  [{ SPILLWAY_PUBLIC_URL: "https://example.org/spillway" }, "https://example.org/spillway"]
] as const)("derives the public URL of %j: %s", ([env, expected]) =>
  Effect.gen(function* () {
    assert.strictEqual(yield* base(env), expected)
  })
)

it.effect.each(["audio.example.org", "ftp://example.org", "https://example.org/?a=b", "https://example.org/#a"])(
  "rejects the public URL %s",
  (text) =>
    Effect.gen(function* () {
      assert.include((yield* Effect.flip(base({ SPILLWAY_PUBLIC_URL: text }))).message, "SPILLWAY_PUBLIC_URL")
    })
)

it.effect("contains the server's actual port", () =>
  Effect.gen(function* () {
    const { address } = yield* HttpServer.HttpServer
    const { base } = yield* PublicUrl
    assert.match(base(), /:[1-9]\d+$/)
    assert.strictEqual(base(), HttpServer.formatAddress(address))
  }).pipe(
    Effect.provide(
      Announcement.layer.pipe(
        Layer.provideMerge(Layer.merge(listening, PublicAddress.layer)),
        Layer.provide([HttpConfig.layer, Layer.succeed(AdminKey, { created: Option.none(), location: "" })]),
        Layer.provide(environment({}))
      )
    )
  )
)

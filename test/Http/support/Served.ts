/** A real server on a free port, with an `HttpClient` that points at it. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { Layer } from "effect"
import { HttpServer } from "effect/http"
import { Authentication } from "../../../src/Auth/Authentication.ts"
import { Jwts } from "../../../src/Auth/Jwt/Jwts.ts"
import { JwtConfig } from "../../../src/Auth/Jwt/JwtConfig.ts"
import { HttpConfig } from "../../../src/Http/HttpConfig.ts"
import * as CommonProblems from "../../../src/Server/CommonProblems.ts"
import { Readiness } from "../../../src/Readiness.ts"
import { ReadinessConfig } from "../../../src/Readiness/ReadinessConfig.ts"
import * as Server from "../../../src/Http/Server.ts"
import * as Settings from "../../support/Settings.ts"

export const environment = (env: Record<string, string>) => Settings.environment({ SPILLWAY_PORT: "0", ...env })

const shared = Layer.mergeAll(
  Authentication.layer,
  Authentication.layerAuthorization.pipe(Layer.provide(Authentication.layer))
).pipe(
  Layer.provide(Jwts.layer.pipe(Layer.provide(JwtConfig.layer))),
  Layer.provideMerge(Layer.merge(CommonProblems.layer, Readiness.layer))
)

/** The server without routes. */
export const listening = Server.layer.pipe(
  Layer.provide(Readiness.layer),
  Layer.provide(Layer.merge(HttpConfig.layer, ReadinessConfig.layer))
)

/** Routes served with the real access, problems and readiness; `Keys` is left to the test. */
export const served = <A, E, R>(routes: Layer.Layer<A, E, R>, env: Record<string, string> = {}) =>
  HttpServer.layerTestClient.pipe(
    Layer.provide(NodeHttpClient.layerUndici),
    Layer.provideMerge(Server.serve(routes)),
    Layer.provideMerge(Server.layer),
    Layer.provideMerge(shared),
    Layer.provide(Layer.mergeAll(HttpConfig.layer, ReadinessConfig.layer)),
    Layer.provide(environment(env))
  )

/** Middleware of `HttpApi` groups that anyone may use: a key is checked if one is sent. */
import { Context, type Option } from "effect"
import { HttpApiMiddleware } from "effect/http-api"
import { Problem } from "../Http.ts"
import type { Principal } from "./Principal.ts"

/** Who sends a request; none without a key. */
export class Visitor extends Context.Service<Visitor, Option.Option<Principal["Service"]>>()("spillway/Auth/Visitor") {}

/** An invalid key is answered with 401, not taken for none. */
export class OptionalAuthorization extends HttpApiMiddleware.Service<OptionalAuthorization, { provides: Visitor }>()(
  "spillway/Auth/OptionalAuthorization",
  { error: Problem.documented(400, 401, 403, 429, 500, 503) }
) {}

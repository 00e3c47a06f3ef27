/** Middleware of `HttpApi` groups that requires a key and provides a `Principal`. Without server code, so that contracts can import it. */
import { HttpApiMiddleware, HttpApiSecurity } from "effect/http-api"
import { Principal } from "./Principal.ts"
import { Problem } from "../Http.ts"

export class Authorization extends HttpApiMiddleware.Service<Authorization, { provides: Principal }>()(
  "spillway/Auth/Authorization",
  {
    error: Problem.documented(400, 401, 403, 429, 500, 503),
    // The viewer of `/docs` takes the "Bearer" of `HttpApiSecurity.bearer` for another scheme, and asks for a password.
    security: { bearer: HttpApiSecurity.http({ scheme: "bearer" }) }
  }
) {}

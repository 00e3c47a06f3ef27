/** For groups of an `HttpApi`: needs a key, gives the handlers a `Principal`. Free of server code, so contracts can name it. */
import { HttpApiMiddleware, HttpApiSecurity } from "effect/http-api"
import { Principal } from "./Principal.ts"
import { Problem } from "../Http.ts"

export class Authorization extends HttpApiMiddleware.Service<Authorization, { provides: Principal }>()(
  "spillway/Auth/Authorization",
  {
    error: Problem.documented(400, 401, 403, 429, 500, 503),
    security: { bearer: HttpApiSecurity.bearer }
  }
) {}

/** Parse options of `HttpApi` groups: a problem lists every mistake in a request, unknown body fields included. */
import { Context } from "effect"
import { HttpApi } from "effect/http-api"

/** Unknown query parameters are ignored, because links accumulate them. */
export const strict = Context.make(HttpApi.ParamsParseOptions, { errors: "all" }).pipe(
  Context.add(HttpApi.QueryParseOptions, { errors: "all" }),
  Context.add(HttpApi.PayloadParseOptions, { errors: "all", onExcessProperty: "error" })
)

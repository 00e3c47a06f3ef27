/** For groups of an `HttpApi`: one answer names every mistake of a query or a body, fields of a body that nothing knows among them. */
import { Context } from "effect"
import { HttpApi } from "effect/http-api"

/** Unknown parameters of a query are ignored: links collect them on their way. */
export const strict = Context.make(HttpApi.ParamsParseOptions, { errors: "all" }).pipe(
  Context.add(HttpApi.QueryParseOptions, { errors: "all" }),
  Context.add(HttpApi.PayloadParseOptions, { errors: "all", onExcessProperty: "error" })
)

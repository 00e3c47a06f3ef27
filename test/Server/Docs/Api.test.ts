/** The contract of all modules. */
import { assert, it } from "@effect/vitest"
import { Context, Option } from "effect"
import { HttpApi } from "effect/http-api"
import { Api } from "../../../src/Server/Docs/Api.ts"

const options = (annotations: Context.Context<never>) => [
  Context.getOption(annotations, HttpApi.ParamsParseOptions),
  Context.getOption(annotations, HttpApi.QueryParseOptions),
  Context.getOption(annotations, HttpApi.PayloadParseOptions)
]

it("names every mistake of a request, in every group", () => {
  const groups = Object.values(Api.groups)
  assert.isAbove(groups.length, 3)
  for (const { annotations, identifier } of groups)
    for (const option of options(annotations)) assert.strictEqual(Option.getOrThrow(option).errors, "all", identifier)
})

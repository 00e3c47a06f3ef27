/** The contract of all modules. */
import { assert, it } from "@effect/vitest"
import { Context, Option } from "effect"
import { HttpApi } from "effect/http-api"
import { Api } from "../../src/Server/Api.ts"

const parseOptions = [HttpApi.ParamsParseOptions, HttpApi.QueryParseOptions, HttpApi.PayloadParseOptions]

it("names every mistake of a request, in every group", () => {
  const groups = Object.values(Api.groups)
  assert.isAbove(groups.length, 3)
  for (const { annotations, identifier } of groups)
    for (const key of parseOptions)
      assert.strictEqual(Option.getOrThrow(Context.getOption(annotations, key)).errors, "all", identifier)
})

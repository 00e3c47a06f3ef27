/** Conversations are listed newest first, and every one once. */
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { ConversationRows } from "../../src/Recording/ConversationRows.ts"
import * as Postgres from "../support/Postgres.ts"

it.live("pages through more than ten conversations, newest first", () =>
  Effect.gen(function* () {
    const rows = yield* ConversationRows
    const made = Array.from({ length: 25 }, (_, index) => `c${index}`)
    yield* Effect.forEach(made, (id) => rows.ensure("u", id))
    yield* rows.ensure("somebody-else", "c")
    const found: Array<string> = []
    let before: string | undefined
    do {
      const page = yield* rows.latest("u", before, 4)
      found.push(...page.map((row) => row.id))
      before = page.at(-1)?.seq
    } while (before !== undefined)
    assert.deepStrictEqual(found, made.toReversed())
  }).pipe(Effect.provide(ConversationRows.layer.pipe(Layer.provide(Postgres.layer))))
)

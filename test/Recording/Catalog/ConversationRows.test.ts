/** Conversations are listed newest first, and every one once. */
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { Protection } from "../../../src/Encryption.ts"
import { ChunkRows } from "../../../src/Recording/Catalog/ChunkRows.ts"
import { ConversationRows } from "../../../src/Recording/Catalog/ConversationRows.ts"
import * as Postgres from "../../support/Postgres.ts"

const world = ConversationRows.layer.pipe(Layer.provideMerge(Postgres.layer))

it.live("pages through more than ten conversations, newest first", () =>
  Effect.gen(function* () {
    const rows = yield* ConversationRows
    const made = Array.from({ length: 25 }, (_, index) => `c${index}`)
    yield* Effect.forEach(made, (id) => rows.ensure("u", id))
    yield* rows.ensure("somebody-else", "c")
    const found: Array<string> = []
    let before: string | undefined
    do {
      const page = yield* rows.latest("u", { before, limit: 4, live: made }, { limit: 1 })
      found.push(...page.map((row) => row.id))
      before = page.at(-1)?.cursor
    } while (before !== undefined)
    assert.deepStrictEqual(found, made.toReversed())
  }).pipe(Effect.provide(world))
)

it.live("pages through conversations by start, to the microsecond, in any order of arrival", () =>
  Effect.gen(function* () {
    const rows = yield* ConversationRows
    const sql = yield* SqlClient.SqlClient
    const began = [5, 3, 3, 9, 1.000_002, 1.000_001, 1_700_000_000.123_457, 1_700_000_000.123_456, 0]
    yield* Effect.forEach(began.entries(), ([index, at]) =>
      Effect.andThen(
        rows.ensure("u", `c${index}`),
        sql`update conversations set chunks = 1, created_at = timestamptz 'epoch' + ${at}::float8 * interval '1 second'
            where id = ${`c${index}`}`
      )
    )
    const found: Array<string> = []
    let before: string | undefined
    do {
      const [row] = yield* rows.latest("u", { before, limit: 1, live: [] }, { limit: 1 })
      if (row !== undefined) found.push(row.id)
      before = row?.cursor
    } while (before !== undefined)
    assert.deepStrictEqual(found, ["c6", "c7", "c3", "c0", "c2", "c1", "c4", "c5", "c8"])
  }).pipe(Effect.provide(world))
)

it.live("lists a conversation without audio only while it is live", () =>
  Effect.gen(function* () {
    const rows = yield* ConversationRows
    const sql = yield* SqlClient.SqlClient
    yield* Effect.forEach(["silent-1", "silent-2"], (id) => rows.ensure("u", id))
    yield* rows.ensure("u", "heard")
    yield* sql`update conversations set chunks = 1 where id = 'heard'`
    yield* rows.ensure("u", "begun")
    const listed = (live: ReadonlyArray<string>, before?: string) =>
      rows.latest("u", { before, limit: 2, live }, { limit: 1 })
    const ids = Effect.map((page: ReadonlyArray<{ readonly id: string }>) => page.map(({ id }) => id))
    assert.deepStrictEqual(yield* ids(listed([])), ["heard"])
    assert.deepStrictEqual(yield* ids(listed(["silent-1", "begun", "heard"])), ["begun", "heard"])
    const [, last] = yield* listed(["silent-1", "begun"])
    assert.deepStrictEqual(yield* ids(listed(["silent-1", "begun"], last?.cursor)), ["silent-1"])
  }).pipe(Effect.provide(world))
)

it.live("a conversation that a capture enters ends today at the earliest, for all nodes", () =>
  Effect.gen(function* () {
    const rows = yield* ConversationRows
    const chunks = yield* ChunkRows
    const sql = yield* SqlClient.SqlClient
    const isCurrent = (id: string) => Effect.map(chunks.tail("u", id), ({ isCurrent }) => isCurrent)
    assert.isFalse(yield* isCurrent("c"))
    yield* rows.ensure("u", "c")
    assert.isTrue(yield* isCurrent("c"))
    yield* sql`update conversations set ended_on = ended_on - 1`
    assert.isFalse(yield* isCurrent("c"))
    yield* rows.ensure("u", "c")
    assert.isTrue(yield* isCurrent("c"))
  }).pipe(
    Effect.provide(
      ChunkRows.layer.pipe(Layer.provide(Layer.mock(Protection, { isAvailable: false })), Layer.provideMerge(world))
    )
  )
)

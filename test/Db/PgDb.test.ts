/** `Db` against a real server. */
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { Db } from "../../src/Db.ts"
import * as Postgres from "../support/Postgres.ts"

layer(Postgres.layer, { excludeTestServices: true })("PgDb", (it) => {
  it.effect("reads from a migrated database", () =>
    Effect.gen(function* () {
      const db = yield* Db
      const rows = yield* db.read("Test.count", (sql) => sql<{ n: number }>`SELECT count(*)::int AS n FROM chunks`)
      assert.deepStrictEqual(rows, [{ n: 0 }])
    })
  )
})

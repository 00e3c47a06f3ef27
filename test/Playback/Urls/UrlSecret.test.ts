/** The secret of an installation. */
import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { Db, DbTimeout } from "../../../src/Db.ts"
import { UrlSecret } from "../../../src/Playback/Urls/UrlSecret.ts"
import * as Postgres from "../../support/Postgres.ts"

/** What a node that starts now signs with. */
const ofNode = Effect.flatMap(UrlSecret, ({ read }) => read).pipe(Effect.provide(Layer.fresh(UrlSecret.layer)))

layer(Postgres.layer, { excludeTestServices: true })("the secret of URLs", (it) => {
  it.effect("is the same on all nodes, also on those that start at the same time", () =>
    Effect.gen(function* () {
      const secrets = yield* Effect.all(
        Array.from({ length: 8 }, () => ofNode),
        { concurrency: "unbounded" }
      )
      const [first = Buffer.alloc(0)] = secrets
      assert.strictEqual(first.length, 32)
      for (const secret of [...secrets, yield* ofNode]) assert.isTrue(Buffer.from(secret).equals(first))
      const sql = yield* SqlClient.SqlClient
      assert.lengthOf(yield* sql`select 1 from url_secret`, 1)
    })
  )

  it.effect("is read once, and again after a failure", () =>
    Effect.gen(function* () {
      const db = yield* Db
      let reads = 0
      const failing = Layer.succeed(Db, {
        ...db,
        read: (operation, query) =>
          Effect.suspend(() =>
            ++reads === 1 ? new DbTimeout({ operation, limit: "statement" }) : db.read(operation, query)
          )
      })
      yield* Effect.gen(function* () {
        const { read } = yield* UrlSecret
        assert.strictEqual((yield* Effect.flip(read))._tag, "DbTimeout")
        const secret = yield* read
        assert.strictEqual(yield* read, secret)
        assert.strictEqual(reads, 2)
      }).pipe(Effect.provide(Layer.fresh(UrlSecret.layer).pipe(Layer.provide(failing))))
    })
  )
})

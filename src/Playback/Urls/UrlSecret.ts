/** The secret that signs URLs of audio, in a row that all nodes share. */
import { randomBytes } from "node:crypto"
import { Context, Effect, Layer } from "effect"
import { Db, type DbError } from "../../Db.ts"

const secretBytes = 32

export class UrlSecret extends Context.Service<
  UrlSecret,
  {
    /** Created by the first node that needs it. Read once; a failed read is repeated by the next caller. */
    readonly read: Effect.Effect<Uint8Array, DbError>
  }
>()("spillway/Playback/Urls/UrlSecret") {
  static readonly layer = Layer.effect(
    UrlSecret,
    Effect.gen(function* () {
      const db = yield* Db
      let known: Uint8Array | undefined

      const load = Effect.gen(function* () {
        const own = randomBytes(secretBytes).toString("hex")
        yield* db.writeIdempotent(
          "UrlSecret.create",
          (sql) => sql`INSERT INTO url_secret (secret) VALUES (decode(${own}, 'hex')) ON CONFLICT DO NOTHING`
        )
        const [row] = yield* db.read(
          "UrlSecret.read",
          (sql) => sql<{ readonly secret: Uint8Array }>`SELECT secret FROM url_secret`
        )
        if (row === undefined) return yield* Effect.die(new Error("the row of url_secret was deleted meanwhile"))
        known = row.secret
        return row.secret
      })
      return UrlSecret.of({
        read: Effect.suspend(() => (known === undefined ? load : Effect.succeed(known)))
      })
    })
  )
}

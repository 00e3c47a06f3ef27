/** Settings of users. */
import { Context, Effect, Layer, Option, Schema } from "effect"
import { Db, type DbError } from "./Db.ts"

export interface UserSettings {
  /** Days that conversations are kept after their end; 0 for ever. None: the server's default. */
  readonly retentionDays: Option.Option<number>
}

export class Users extends Context.Service<
  Users,
  {
    settings(uid: string): Effect.Effect<UserSettings, DbError>
    putSettings(uid: string, settings: UserSettings): Effect.Effect<void, DbError>
    removeSettings(uid: string): Effect.Effect<void, DbError>
  }
>()("spillway/Users") {
  static readonly layer = Layer.effect(
    Users,
    Effect.suspend(() => make)
  )
}

const decode = Schema.decodeUnknownEffect(Schema.Array(Schema.Struct({ days: Schema.NullOr(Schema.Int) })))

const make = Effect.gen(function* () {
  const db = yield* Db
  return Users.of({
    settings: Effect.fn("Users.settings")(function* (uid) {
      const [row] = yield* db.read("Users.settings", (sql) =>
        sql`SELECT retention_days AS days FROM user_settings WHERE uid = ${uid}`.pipe(
          Effect.flatMap(decode),
          Effect.catchTag("SchemaError", Effect.die)
        )
      )
      return { retentionDays: Option.fromNullishOr(row?.days) }
    }),
    putSettings: Effect.fn("Users.putSettings")(function* (uid, { retentionDays }) {
      const days = Option.getOrNull(retentionDays)
      yield* db.writeIdempotent(
        "Users.putSettings",
        (sql) => sql`
          INSERT INTO user_settings (uid, retention_days) VALUES (${uid}, ${days}::integer)
          ON CONFLICT (uid) DO UPDATE SET retention_days = excluded.retention_days`
      )
    }),
    removeSettings: Effect.fn("Users.removeSettings")(function* (uid) {
      yield* db.writeIdempotent("Users.removeSettings", (sql) => sql`DELETE FROM user_settings WHERE uid = ${uid}`)
    })
  })
})

/** Settings of users. */
import { Context, Effect, Layer, Option, Schema } from "effect"
import { Db, type DbError } from "./Db.ts"
import { Level } from "./Encryption.ts"

export { ActiveUsers } from "./Users/ActiveUsers.ts"
export { UsersConfig } from "./Users/UsersConfig.ts"

/** None: the server's default. */
export interface UserSettings {
  /** Whether received audio is stored. */
  readonly storeAudio: Option.Option<boolean>
  /** Of audio that is stored from now on. */
  readonly protection: Option.Option<Level>
  /** Days that conversations are kept after their end; 0 for ever. */
  readonly retentionDays: Option.Option<number>
}

export class Users extends Context.Service<
  Users,
  {
    settings(uid: string): Effect.Effect<UserSettings, DbError>
    /** What `changes` leaves out is kept. */
    putSettings(uid: string, changes: Partial<UserSettings>): Effect.Effect<void, DbError>
    removeSettings(uid: string): Effect.Effect<void, DbError>
  }
>()("spillway/Users") {
  static readonly layer = Layer.effect(
    Users,
    Effect.suspend(() => make)
  )
}

const Row = Schema.Struct({
  store: Schema.NullOr(Schema.Boolean),
  protection: Schema.NullOr(Level),
  days: Schema.NullOr(Schema.Int)
})
const decode = Schema.decodeUnknownEffect(Schema.Array(Row))

const valueOf = <A>(setting: Option.Option<A> = Option.none()): A | null => Option.getOrNull(setting)

const make = Effect.gen(function* () {
  const db = yield* Db
  return Users.of({
    settings: Effect.fn("Users.settings")(function* (uid) {
      const [row] = yield* db.read("Users.settings", (sql) =>
        sql`
          SELECT store_audio AS store, protection, retention_days AS days FROM user_settings WHERE uid = ${uid}`.pipe(
          Effect.flatMap(decode),
          Effect.catchTag("SchemaError", Effect.die)
        )
      )
      return {
        storeAudio: Option.fromNullishOr(row?.store),
        protection: Option.fromNullishOr(row?.protection),
        retentionDays: Option.fromNullishOr(row?.days)
      }
    }),
    putSettings: Effect.fn("Users.putSettings")(function* (uid, { protection, retentionDays, storeAudio }) {
      yield* db.writeIdempotent(
        "Users.putSettings",
        (sql) => sql`
          INSERT INTO user_settings AS u (uid, store_audio, protection, retention_days)
          VALUES (${uid}, ${valueOf(storeAudio)}::boolean, ${valueOf(protection)}::text, ${valueOf(retentionDays)}::integer)
          ON CONFLICT (uid) DO UPDATE SET
            store_audio = CASE WHEN ${storeAudio !== undefined}::boolean THEN excluded.store_audio ELSE u.store_audio END,
            protection = CASE WHEN ${protection !== undefined}::boolean THEN excluded.protection ELSE u.protection END,
            retention_days =
              CASE WHEN ${retentionDays !== undefined}::boolean THEN excluded.retention_days ELSE u.retention_days END`
      )
    }),
    removeSettings: Effect.fn("Users.removeSettings")(function* (uid) {
      yield* db.writeIdempotent("Users.removeSettings", (sql) => sql`DELETE FROM user_settings WHERE uid = ${uid}`)
    })
  })
})

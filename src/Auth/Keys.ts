/** Access keys. Only the SHA-256 of a key is stored; the key itself is returned once, when it is created. */
import { hash, randomBytes } from "node:crypto"
import {
  Cache,
  Clock,
  Context,
  DateTime,
  Duration,
  Effect,
  Exit,
  Layer,
  MutableHashMap,
  Option,
  Redacted,
  Schema
} from "effect"
import { Db, type DbError } from "../Db.ts"
import { keyForm, KeysConfig } from "./KeysConfig.ts"
import { Scope } from "./Principal.ts"

/** A stored key. Without `expiresAt` it never expires. */
export interface Key {
  readonly id: string
  readonly uid: string
  readonly scopes: ReadonlyArray<Scope>
  readonly createdAt: DateTime.Utc
  readonly expiresAt: Option.Option<DateTime.Utc>
}

/** The table has `maxKeys` keys, none of them revoked or expired. */
export class TooManyKeys extends Schema.TaggedError<TooManyKeys>()("TooManyKeys", { maxKeys: Schema.Int }) {}

export class Keys extends Context.Service<
  Keys,
  {
    create(key: {
      readonly uid: string
      readonly scopes: ReadonlyArray<Scope>
      readonly expiresAt: Option.Option<DateTime.Utc>
    }): Effect.Effect<{ readonly key: Key; readonly secret: Redacted.Redacted }, DbError | TooManyKeys>
    /** Keys that are neither revoked nor expired, newest first, at most `maxKeys`. */
    readonly list: Effect.Effect<ReadonlyArray<Key>, DbError>
    /** Takes effect at once on this node, within `cacheTime` on other nodes. False if there is no such key. */
    revoke(id: string): Effect.Effect<boolean, DbError>
    /** At most `maxKeys`; the admin key counts, too. */
    countOf(uid: string): Effect.Effect<number, DbError>
    /** Deletes the keys of a user, but never the admin key; returns how many. Takes effect as `revoke` does. */
    removeOf(uid: string): Effect.Effect<number, DbError>
    /** None if the key is unknown, revoked or expired. */
    find(secret: Redacted.Redacted): Effect.Effect<Option.Option<Key>, DbError>
    /**
     * As `find`, but only from the cache: none also if the key is not in it. The hash of a connection's last key is kept. Always
     * a success: it is an exit because `Layer.mock` lets tests leave out effects only.
     */
    cached(secret: string, connection: object): Exit.Exit<Option.Option<Key>>
    /** Stores the admin key, replacing an existing one only if `replace`. True if this is the admin key afterwards. */
    putAdmin(secret: Redacted.Redacted, options: { readonly replace: boolean }): Effect.Effect<boolean, DbError>
    readonly hasAdmin: Effect.Effect<boolean, DbError>
  }
>()("spillway/Auth/Keys") {}

export const makeSecret = Effect.sync(() => Redacted.make(`spw_${randomBytes(32).toString("base64url")}`))

export function isWellFormed(secret: Redacted.Redacted) {
  return keyForm.test(Redacted.value(secret))
}

const hashOf = (secret: Redacted.Redacted) => hash("sha256", Redacted.value(secret), "buffer")

const Row = Schema.Struct({
  id: Schema.String,
  uid: Schema.String,
  scopes: Schema.Array(Scope),
  created_at: Schema.DateTimeUtcFromDate,
  expires_at: Schema.OptionFromNullOr(Schema.DateTimeUtcFromDate)
})

const keyOf = ({ created_at, expires_at, ...row }: typeof Row.Type): Key => ({
  ...row,
  createdAt: created_at,
  expiresAt: expires_at
})

const decode = (rows: unknown) =>
  Effect.map(Effect.orDie(Schema.decodeUnknownEffect(Schema.Array(Row))(rows)), (rows) => rows.map(keyOf))

const unexpired = (key: Option.Option<Key>, now: number) =>
  Option.filter(key, ({ expiresAt }) => Option.isNone(expiresAt) || DateTime.toEpochMillis(expiresAt.value) > now)

/** Id and user of the admin key. */
export const adminKeyId = "admin"
const adminScopes: ReadonlyArray<Scope> = ["admin", "service"]

export const layer = Layer.effect(
  Keys,
  Effect.gen(function* () {
    const db = yield* Db
    const config = yield* KeysConfig
    const clock = yield* Clock.Clock

    const lookup = (hash: string) =>
      db
        .read("Keys.find", (sql) =>
          sql`select id, uid, scopes, created_at, expires_at from keys
              where hash = ${Buffer.from(hash, "base64")} and revoked_at is null`.pipe(Effect.flatMap(decode))
        )
        .pipe(Effect.map((keys) => Option.fromNullishOr(keys[0])))

    const cache = yield* Cache.makeWith(lookup, {
      capacity: config.cacheEntries,
      timeToLive: (exit) => (Exit.isSuccess(exit) ? config.cacheTime : Duration.zero)
    })

    const hashed = new WeakMap<object, { readonly secret: string; readonly hash: string }>()
    const lastHash = (secret: string, connection: object) => {
      const last = hashed.get(connection)
      if (last?.secret === secret) return last.hash
      const hash = hashOf(Redacted.make(secret)).toString("base64")
      hashed.set(connection, { secret, hash })
      return hash
    }

    const create = Effect.fn("Keys.create")(function* (key: {
      readonly uid: string
      readonly scopes: ReadonlyArray<Scope>
      readonly expiresAt: Option.Option<DateTime.Utc>
    }) {
      const secret = yield* makeSecret
      const id = `key_${randomBytes(9).toString("base64url")}`
      const expires = Option.getOrNull(Option.map(key.expiresAt, DateTime.toDateUtc))
      const rows = yield* db.transaction("Keys.create", (sql) =>
        Effect.gen(function* () {
          yield* sql`lock table keys in share row exclusive mode`
          const full = sql`select 1 from keys offset ${config.maxKeys - 1} limit 1`
          if ((yield* full).length > 0) {
            yield* sql`delete from keys where id <> ${adminKeyId} and (revoked_at is not null or expires_at < now())`
            if ((yield* full).length > 0) return yield* new TooManyKeys({ maxKeys: config.maxKeys })
          }
          const rows = yield* sql`insert into keys (id, uid, hash, scopes, created_at, expires_at)
            values (${id}, ${key.uid}, ${hashOf(secret)}, ${key.scopes}, now(), ${expires})
            returning id, uid, scopes, created_at, expires_at`
          return yield* decode(rows)
        })
      )
      return { key: yield* Effect.orDie(Effect.fromNullishOr(rows[0])), secret }
    })

    const list = db.read("Keys.list", (sql) =>
      sql`select id, uid, scopes, created_at, expires_at from keys
          where revoked_at is null and (expires_at is null or expires_at > now())
          order by created_at desc, id desc limit ${config.maxKeys}`.pipe(Effect.flatMap(decode))
    )

    const revoke = Effect.fn("Keys.revoke")(function* (id: string) {
      const rows = yield* db.writeIdempotent(
        "Keys.revoke",
        (sql) =>
          sql<{
            hash: Uint8Array
          }>`update keys set revoked_at = coalesce(revoked_at, now()) where id = ${id} returning hash`
      )
      yield* Effect.forEach(rows, ({ hash }) => Cache.invalidate(cache, Buffer.from(hash).toString("base64")))
      return rows.length > 0
    })

    const countOf = Effect.fn("Keys.countOf")(function* (uid: string) {
      const rows = yield* db.read(
        "Keys.countOf",
        (sql) => sql<{ readonly count: number }>`select count(*)::int as count from keys where uid = ${uid}`
      )
      return rows[0]?.count ?? 0
    })

    const removeOf = Effect.fn("Keys.removeOf")(function* (uid: string) {
      const rows = yield* db.writeIdempotent(
        "Keys.removeOf",
        (sql) => sql`delete from keys where uid = ${uid} and id <> ${adminKeyId} returning 1`
      )
      yield* Cache.invalidateAll(cache)
      return rows.length
    })

    const putAdmin = Effect.fn("Keys.putAdmin")(function* (
      secret: Redacted.Redacted,
      { replace }: { readonly replace: boolean }
    ) {
      const hash = hashOf(secret)
      const rows = yield* db.transactionIdempotent("Keys.putAdmin", (sql) =>
        Effect.gen(function* () {
          const insert = sql`insert into keys (id, uid, hash, scopes, created_at)
            values (${adminKeyId}, ${adminKeyId}, ${hash}, ${adminScopes}, now())`
          yield* replace
            ? sql`${insert} on conflict (id) do update set hash = excluded.hash, scopes = excluded.scopes, revoked_at = null`
            : sql`${insert} on conflict (id) do nothing`
          return yield* sql`select 1 from keys where id = ${adminKeyId} and hash = ${hash}`
        })
      )
      yield* Cache.invalidateAll(cache)
      return rows.length > 0
    })

    return Keys.of({
      create,
      list,
      revoke,
      countOf,
      removeOf,
      putAdmin,
      find: (secret) =>
        isWellFormed(secret)
          ? Effect.flatMap(Cache.get(cache, hashOf(secret).toString("base64")), (key) =>
              Effect.map(Clock.currentTimeMillis, (now) => unexpired(key, now))
            )
          : Effect.succeedNone,
      cached: (secret, connection) => {
        const entry = Option.getOrUndefined(MutableHashMap.get(cache.map, lastHash(secret, connection)))
        const now = clock.currentTimeMillisUnsafe()
        const exit = (entry?.expiresAt ?? Infinity) > now ? entry?.fiber.pollUnsafe() : undefined
        return Exit.succeed(exit?._tag === "Success" ? unexpired(exit.value, now) : Option.none())
      },
      hasAdmin: db.read("Keys.hasAdmin", (sql) =>
        Effect.map(sql`select 1 from keys where id = ${adminKeyId}`, (r) => r.length > 0)
      )
    })
  })
)

/** A missing master secret is reported at the start, before audio can't be decrypted. */
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Logger, Option, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import { Db, DbUnavailable } from "../../src/Db.ts"
import { Protection } from "../../src/Encryption.ts"
import * as Cipher from "../../src/Encryption/Cipher.ts"
import { ProtectionConfig } from "../../src/Encryption/ProtectionConfig.ts"
import * as UsedSecrets from "../../src/Encryption/UsedSecrets.ts"
import * as Postgres from "../support/Postgres.ts"

const secret = (byte: number) => Buffer.alloc(32, byte).toString("base64")
const audio = Buffer.from("audio")

interface Start {
  readonly level?: "standard" | "enhanced"
  readonly db?: (db: Db["Service"]) => Db["Service"]
}

/** The warnings of a node that starts with these secrets, runs `use` and ends. */
const node = Effect.fnUntraced(function* (
  secrets: ReadonlyArray<string>,
  use: (protection: Protection["Service"]) => Effect.Effect<unknown, unknown> = () => Effect.void,
  { db = (db) => db, level = secrets.length > 0 ? "enhanced" : "standard" }: Start = {}
) {
  const warnings: Array<string> = []
  const logger = Logger.make(({ logLevel, message }) => {
    if (logLevel === "Warn") warnings.push(String(message))
  })
  const masterSecrets = secrets.length > 0 ? Option.some(Redacted.make(secrets.join(","))) : Option.none()
  yield* Protection.use(use).pipe(
    Effect.provide(
      Layer.fresh(UsedSecrets.layer).pipe(
        Layer.provide(Layer.succeed(ProtectionConfig, { level, masterSecrets, keys: 10 })),
        Layer.provide(Layer.effect(Db, Effect.map(Db, db))),
        Layer.provide(Logger.layer([logger]))
      ),
      { local: true }
    )
  )
  return warnings
})

const encrypt = ({ encrypt }: Protection["Service"]) => encrypt("u", audio)
const forget = Effect.flatMap(SqlClient.SqlClient, (sql) => sql`DELETE FROM secrets`)
const noted = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) => sql<{ readonly fingerprint: string }>`SELECT fingerprint FROM secrets`
)

layer(Postgres.layer, { excludeTestServices: true })("a master secret", (it) => {
  it.effect("is reported at the start when audio is encrypted with it and it is missing, with what to do", () =>
    Effect.gen(function* () {
      yield* forget
      assert.deepStrictEqual(yield* node([secret(1)], encrypt), [])
      assert.deepStrictEqual(yield* node([secret(1)]), [])
      const [first = "", ...more] = yield* node([secret(2)], encrypt)
      assert.deepStrictEqual(more, [])
      assert.match(first, /^1 master secret that .* SPILLWAY_MASTER_SECRETS: append the old ones to the setting/)
      assert.match((yield* node([])).join(), /^2 master secrets /)
      assert.deepStrictEqual(yield* node([secret(3), secret(2), secret(1)]), [])
      assert.deepStrictEqual(yield* node([secret(2), secret(1)], undefined, { level: "standard" }), [])
    })
  )

  it.effect("is not reported when no audio is encrypted with it", () =>
    Effect.gen(function* () {
      yield* forget
      yield* node([secret(1)])
      assert.deepStrictEqual(yield* node([secret(2)]), [])
    })
  )

  it.effect("is also reported when it decrypted audio that another writer encrypted", () =>
    Effect.gen(function* () {
      let encrypted: Uint8Array = new Uint8Array(0)
      yield* node([secret(1)], (protection) =>
        Effect.tap(encrypt(protection), (bytes) => Effect.sync(() => (encrypted = bytes)))
      )
      yield* forget
      const decrypt = ({ decrypt }: Protection["Service"]) =>
        Effect.all([decrypt("u", encrypted), decrypt("u", encrypted)])
      yield* node([secret(2), secret(1)], decrypt, { level: "standard" })
      assert.match((yield* node([secret(2)])).join(), /^1 master secret /)
    })
  )

  it.effect("is recorded once, before the first encryption with it", () =>
    Effect.gen(function* () {
      yield* forget
      let isAway = true
      let writes = 0
      const db = (db: Db["Service"]): Db["Service"] => ({
        ...db,
        writeIdempotent: (operation, query) => {
          writes++
          const away = new DbUnavailable({ operation, attempts: 1, cause: "away" })
          return isAway ? Effect.fail(away) : db.writeIdempotent(operation, query)
        }
      })
      const use = Effect.fnUntraced(function* (protection: Protection["Service"]) {
        assert.strictEqual((yield* Effect.flip(encrypt(protection)))._tag, "DbUnavailable")
        assert.deepStrictEqual(yield* noted, [])
        isAway = false
        yield* encrypt(protection)
        assert.strictEqual((yield* noted).length, 1)
        yield* protection.decrypt("u", yield* encrypt(protection))
        assert.strictEqual(writes, 2)
      })
      const sql = yield* SqlClient.SqlClient
      yield* node([secret(1)], (protection) => Effect.provideService(use(protection), SqlClient.SqlClient, sql), { db })
    })
  )

  it.effect("can't be derived from its record, nor can a user's key", () =>
    Effect.gen(function* () {
      yield* forget
      yield* node([secret(1)], encrypt)
      const [{ fingerprint } = { fingerprint: "" }] = yield* noted
      assert.match(fingerprint, /^[0-9a-f]{16}$/)
      for (const uid of ["", "u", "spillway"]) {
        const key = Cipher.deriveKey(Buffer.alloc(32, 1), uid).key.export().toString("hex")
        assert.notInclude(key, fingerprint)
      }
    })
  )
})

/** `DATABASE_URL` against a real server with TLS behaves as in libpq. */
import * as Fs from "node:fs"
import * as Net from "node:net"
import { assert, describe, layer } from "@effect/vitest"
import { Cause, Context, Duration, Effect, Exit, Layer, Option, Redacted } from "effect"
import { Db } from "../../../src/Db.ts"
import { DatabaseUnusable } from "../../../src/Db/DatabaseUnusable.ts"
import { DbServer } from "../../../src/Db/DbServer.ts"
import * as External from "../../../src/Db/External/External.ts"
import * as PgDb from "../../../src/Db/PgDb.ts"
import { configWith } from "../support/Fixture.ts"
import { freePort } from "../../support/FreePort.ts"
import { isMissing, TlsServer, layer as layerTls } from "../support/TlsServer.ts"

const config = configWith({ startTimeout: Duration.millis(300), connectTimeout: Duration.seconds(3) })

const dbAt = (url: string) =>
  Layer.build(
    Layer.fresh(PgDb.layer).pipe(Layer.provideMerge(External.layer(Redacted.make(url))), Layer.provide(config))
  )

interface Session {
  readonly ssl: boolean | null
  readonly database: string
  readonly application: string
  readonly path: string
}

/** How the server sees a connection of the pool. */
const sessionAt = (url: string) =>
  Effect.gen(function* () {
    const db = Context.get(yield* dbAt(url), Db)
    const rows = yield* db.read(
      "Test.session",
      (sql) => sql<Session>`
        SELECT (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()) AS ssl, current_database() AS database,
               current_setting('application_name') AS application, current_setting('search_path') AS path`
    )
    return rows[0]
  }).pipe(Effect.scoped)

const isEncrypted = (url: string) => Effect.map(sessionAt(url), (session) => session?.ssl)

const refusal = (url: string) =>
  Effect.gen(function* () {
    const exit = yield* Effect.exit(Effect.scoped(dbAt(url)))
    const error = Exit.isFailure(exit) ? Option.getOrUndefined(Cause.findErrorOption(exit.cause)) : undefined
    assert.instanceOf(error, DatabaseUnusable)
    assert.notInclude(error.message, "\n")
    return error.message
  })

/** Between a client and a server, both a path or a port of this machine. */
const relay = (from: string | number, to: string | number) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly connections: () => number; readonly close: () => void }>((resume) => {
      const sockets = new Set<Net.Socket>()
      let count = 0
      const listener = Net.createServer((client) => {
        count++
        const server = typeof to === "string" ? Net.connect(to) : Net.connect(to, "127.0.0.1")
        for (const [socket, peer] of [
          [client, server],
          [server, client]
        ] as const) {
          sockets.add(socket)
          socket.on("error", () => peer.destroy())
          socket.on("close", () => peer.destroy())
        }
        client.pipe(server).pipe(client)
      })
      const close = () => {
        listener.close()
        for (const socket of sockets) socket.destroy()
      }
      listener.listen(from, () => resume(Effect.succeed({ connections: () => count, close })))
    }),
    ({ close }) => Effect.sync(close)
  )

const urls = Effect.map(TlsServer, ({ password, port, ...server }) => ({
  ...server,
  port,
  /** `query` without its first character. */
  at: (query: string, host = "localhost", database = "postgres") =>
    `postgres://spillway:${password}@${host}:${port}/${database}${query === "" ? "" : `?${query}`}`
}))

describe.skipIf(isMissing)("DATABASE_URL", () => {
  layer(layerTls, { excludeTestServices: true })("a connection to an external server", (it) => {
    it.effect("encrypts with ssl=true, without verifying the certificate", () =>
      Effect.gen(function* () {
        const { at } = yield* urls
        assert.isTrue(yield* isEncrypted(at("ssl=true")))
        assert.isTrue(yield* isEncrypted(at("sslmode=require")))
        assert.match(
          yield* refusal(at("ssl=true", "localhost", "clear")),
          /28000: .*rejects connection for host.*: check the user/
        )
      })
    )

    it.effect(
      "encrypts by default and with prefer when the server supports TLS, and falls back to plaintext otherwise",
      () =>
        Effect.gen(function* () {
          const { at } = yield* urls
          assert.isTrue(yield* isEncrypted(at("")))
          assert.isTrue(yield* isEncrypted(at("sslmode=prefer", "localhost", "tls")))
          assert.isFalse(yield* isEncrypted(at("sslmode=prefer", "localhost", "clear")))
        })
    )

    it.effect("encrypts with allow only when the server requires it, and never with disable", () =>
      Effect.gen(function* () {
        const { at } = yield* urls
        assert.isFalse(yield* isEncrypted(at("sslmode=allow")))
        assert.isTrue(yield* isEncrypted(at("sslmode=allow", "localhost", "tls")))
        assert.isFalse(yield* isEncrypted(at("sslmode=disable")))
        assert.match(yield* refusal(at("sslmode=disable", "localhost", "tls")), /28000/)
      })
    )

    it.effect(
      "verifies the authority but not the host name with verify-ca, and with require when a root certificate is given",
      () =>
        Effect.gen(function* () {
          const { at, authority, stranger } = yield* urls
          assert.isTrue(yield* isEncrypted(at(`sslmode=verify-ca&sslrootcert=${authority}`, "127.0.0.1")))
          assert.isTrue(yield* isEncrypted(at(`sslmode=require&sslrootcert=${authority}`, "127.0.0.1")))
          for (const mode of ["require", "verify-ca"]) {
            const message = yield* refusal(at(`sslmode=${mode}&sslrootcert=${stranger}`))
            assert.match(message, /no TLS with the server: .*: check sslmode and sslrootcert in DATABASE_URL/)
          }
        })
    )

    it.effect("verifies the host name with verify-full, also when hostaddr is given", () =>
      Effect.gen(function* () {
        const { at, authority } = yield* urls
        const full = `sslmode=verify-full&sslrootcert=${authority}`
        assert.isTrue(yield* isEncrypted(at(full)))
        assert.isTrue(yield* isEncrypted(at(`${full}&hostaddr=127.0.0.1`)))
        assert.match(yield* refusal(at(full, "127.0.0.1")), /no TLS with the server: .*altnames/)
      })
    )

    it.effect("presents a client certificate with an encrypted key", () =>
      Effect.gen(function* () {
        const { authority, directory, port } = yield* urls
        const own = `sslcert=${directory}/client.crt&sslkey=${directory}/client.key&sslpassword=secret`
        const url = `postgres://spillway@localhost:${port}/certificate?sslmode=verify-full&sslrootcert=${authority}`
        assert.isTrue(yield* isEncrypted(`${url}&${own}`))
        assert.match(yield* refusal(url), /28000: connection requires a valid client certificate/)
        assert.match(
          yield* refusal(`${url}&${own.replace("client.crt", "absent")}`),
          /sslcert in DATABASE_URL can't be read/
        )
        assert.match(
          yield* refusal(`${url}&${own}x`),
          /certificates in DATABASE_URL can't be used .*: check .*sslpassword$/
        )
        const noCertificate = url.replace(authority, `${directory}/access.conf`)
        assert.match(
          yield* refusal(`${noCertificate}&${own}`),
          /certificates in DATABASE_URL can't be used|no TLS with the server/
        )
      })
    )

    it.effect("accepts sslrootcert=system only with verify-full, and implies it", () =>
      Effect.gen(function* () {
        const { at } = yield* urls
        assert.match(yield* refusal(at("sslrootcert=system")), /no TLS with the server/)
        assert.match(yield* refusal(at("sslmode=require&sslrootcert=system")), /write sslmode=verify-full/)
      })
    )

    it.effect("cancels an interrupted caller's statement over TLS", () =>
      Effect.gen(function* () {
        const { at, sql } = yield* urls
        const db = Context.get(yield* dbAt(at("sslmode=require&application_name=given_up")), Db)
        const [took] = yield* Effect.timed(
          Effect.timeoutOption(
            db.read("Test.sleep", (sql) => sql`SELECT pg_sleep(60)`),
            "200 millis"
          )
        )
        assert.isBelow(Duration.toMillis(took), 4000, "cancelled, not cut off")
        const running = yield* sql`
        SELECT pid FROM pg_stat_activity WHERE application_name = 'given_up' AND state = 'active'`
        assert.deepStrictEqual(running, [])
      })
    )

    it.effect("reads user, password, database, options and application name wherever libpq does", () =>
      Effect.gen(function* () {
        const { port, sql } = yield* urls
        yield* sql`CREATE ROLE "us:er@x" LOGIN PASSWORD 'p@ss/w:rd?#%+ '`
        const encoded = `${encodeURIComponent("us:er@x")}:${encodeURIComponent("p@ss/w:rd?#%+ ")}`
        const session = yield* sessionAt(
          `postgresql://${encoded}@localhost:${port}/nowhere?dbname=tls&application_name=mine&options=-c%20search_path%3Dpg_catalog`
        )
        assert.deepStrictEqual(session, { ssl: true, database: "tls", application: "mine", path: "pg_catalog" })
        const query = `user=${encodeURIComponent("us:er@x")}&password=${encodeURIComponent("p@ss/w:rd?#%+ ")}`
        assert.strictEqual((yield* sessionAt(`postgres:///clear?host=localhost&port=${port}&${query}`))?.ssl, false)
      })
    )

    it.effect("accepts a socket directory with colons as host, and ignores sslmode there", () =>
      Effect.gen(function* () {
        const { directory, password, socket } = yield* TlsServer
        const colons = `${directory}/project:region:instance`
        Fs.mkdirSync(colons)
        yield* relay(`${colons}/.s.PGSQL.5432`, socket)
        const session = yield* sessionAt(`postgres://spillway:${password}@/postgres?sslmode=require&host=${colons}`)
        assert.isFalse(session?.ssl)
      })
    )

    it.effect("says for each host why it can't be used", () =>
      Effect.gen(function* () {
        const { password } = yield* TlsServer
        const dead = yield* Effect.promise(freePort)
        assert.match(
          yield* refusal(
            `postgres://spillway:${password}@127.0.0.1:${dead},localhost:${dead}/postgres?sslmode=require`
          ),
          /^The database 127\.0\.0\.1:\d+,localhost:\d+\/postgres can't be used \(127.*ECONNREFUSED.*localhost.*ECONNREFUSED.*\): check that it runs/
        )
      })
    )

    it.effect("connects to the next host when one is down", () =>
      Effect.gen(function* () {
        const { password, port } = yield* TlsServer
        const [first, second] = [yield* Effect.promise(freePort), yield* Effect.promise(freePort)]
        const one = yield* relay(first, port)
        const other = yield* relay(second, port)
        const url = `postgres://spillway:${password}@127.0.0.1:${first},localhost:${second}/postgres?sslmode=require`
        const db = Context.get(yield* dbAt(url), Db)
        yield* db.read("Test.one", (sql) => sql`SELECT 1`)
        assert.deepStrictEqual([one.connections() > 0, other.connections()], [true, 0])
        one.close()
        yield* db.read("Test.other", (sql) => sql`SELECT 1`)
        assert.isAbove(other.connections(), 0)
      })
    )

    it.effect("skips a read-only server", () =>
      Effect.gen(function* () {
        const { at, sql } = yield* urls
        yield* sql`CREATE ROLE reader LOGIN SUPERUSER PASSWORD 'secret'`
        yield* sql`ALTER ROLE reader SET default_transaction_read_only = on`
        const reader = at("target_session_attrs=read-write").replace(/\/\/spillway:[^@]*@/, "//reader:secret@")
        assert.match(yield* refusal(reader), /the server is read-only/)
        assert.isTrue(yield* isEncrypted(reader.replace("read-write", "any")))
        assert.isTrue(yield* isEncrypted(at("target_session_attrs=primary")))
      })
    )

    it.effect("detects a server without a pooler", () =>
      Effect.gen(function* () {
        const { at } = yield* urls
        const { pooled } = Context.get(yield* dbAt(at("")), DbServer)
        assert.isFalse(pooled)
      })
    )
  })
})

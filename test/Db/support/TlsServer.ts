/** A PostgreSQL with TLS and a certificate authority of its own, on a TCP port of this machine. */
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { NodeServices } from "@effect/platform-node"
import { PgClient } from "@effect/sql-pg"
import { Context, Effect, Layer, Redacted, Schedule } from "effect"
import { Reactivity } from "effect/reactivity"
import { DbConfig } from "../../../src/Db/DbConfig.ts"
import * as PostgresBinaries from "../../../src/Db/Postgres/Binaries.ts"
import * as PostgresChild from "../../../src/Db/Postgres/Child.ts"
import * as PostgresCluster from "../../../src/Db/Postgres/Cluster.ts"
import * as Cluster from "../../support/Cluster.ts"
import { findProgram } from "../../support/Programs.ts"
import { runDirectory } from "../../support/RunDirectory.ts"
import { freePort } from "../../support/FreePort.ts"

export class TlsServer extends Context.Service<
  TlsServer,
  {
    readonly port: number
    readonly password: string
    /** The authority that signed the server's certificate, which is for `localhost` alone. */
    readonly authority: string
    /** Another authority. */
    readonly stranger: string
    readonly user: PostgresChild.User
    readonly directory: string
    /** The server's Unix socket. */
    readonly socket: string
    /** On the superuser's connection. */
    readonly sql: PgClient.PgClient
  }
>()("spillway/test/Db/support/TlsServer") {}

/** The tool that makes certificates is missing. */
export const isMissing = findProgram("openssl", "tests of a database with TLS") === undefined

/** `command` has no spaces in its words. */
const openssl = (directory: string, command: string) =>
  execFileSync("openssl", command.split(" "), { cwd: directory, stdio: "pipe" })

const makeAuthority = (directory: string, name: string) =>
  openssl(directory, `req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=${name} -keyout ${name}.key -out ${name}.crt`)

const makeCertificates = (directory: string, user: PostgresChild.User) => {
  makeAuthority(directory, "authority")
  makeAuthority(directory, "stranger")
  openssl(directory, "req -newkey rsa:2048 -nodes -subj /CN=database -keyout server.key -out server.csr")
  Fs.writeFileSync(Path.join(directory, "server.ext"), "subjectAltName=DNS:localhost\n")
  openssl(
    directory,
    "x509 -req -in server.csr -CA authority.crt -CAkey authority.key -CAcreateserial -days 2 -extfile server.ext -out server.crt"
  )
  // The client's key is encrypted.
  openssl(directory, "req -newkey rsa:2048 -passout pass:secret -subj /CN=spillway -keyout client.key -out client.csr")
  openssl(
    directory,
    "x509 -req -in client.csr -CA authority.crt -CAkey authority.key -CAcreateserial -days 2 -out client.crt"
  )
  const key = Path.join(directory, "server.key")
  Fs.chmodSync(key, 0o600)
  if (user !== undefined) Fs.chownSync(key, user.uid, user.gid)
}

/** Databases `tls` and `clear` accept only connections of that kind, `certificate` only clients with one. */
const access = `
local all all scram-sha-256
hostssl certificate all 127.0.0.1/32 cert
hostssl tls all 127.0.0.1/32 scram-sha-256
hostnossl tls all 127.0.0.1/32 reject
hostssl clear all 127.0.0.1/32 reject
hostnossl clear all 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 scram-sha-256
`

const make = Effect.gen(function* () {
  const directory = yield* Effect.acquireRelease(
    Effect.sync(() => Fs.mkdtempSync(Path.join(runDirectory(), "spillway-tls-"))),
    (made) => Effect.sync(() => Fs.rmSync(made, { recursive: true, force: true }))
  )
  Fs.chmodSync(directory, 0o711)
  const binaries = yield* PostgresBinaries.find
  yield* Effect.promise(() => Cluster.copyTo(Path.join(directory, "node")))
  const cluster = yield* PostgresCluster.prepare(binaries, Path.join(directory, "node"), false)
  makeCertificates(directory, cluster.user)
  Fs.writeFileSync(Path.join(directory, "access.conf"), access)
  const port = yield* Effect.promise(freePort)
  const child = yield* PostgresChild.spawn({
    command: binaries.postgres,
    args: ["-D", cluster.data].concat(
      Object.entries({
        listen_addresses: "127.0.0.1",
        port: String(port),
        fsync: "off",
        unix_socket_directories: cluster.sockets,
        hba_file: `${directory}/access.conf`,
        ssl: "on",
        ssl_cert_file: `${directory}/server.crt`,
        ssl_ca_file: `${directory}/authority.crt`,
        ssl_key_file: `${directory}/server.key`
      }).flatMap(([name, value]) => ["-c", `${name}=${value}`])
    ),
    user: cluster.user
  })
  yield* Effect.addFinalizer(() =>
    Effect.suspend(() => {
      child.signal("SIGINT")
      return child.ended
    })
  )
  const sql = yield* PgClient.makeClient({
    host: cluster.sockets,
    port,
    database: "postgres",
    username: PostgresCluster.superuser,
    password: cluster.password
  }).pipe(
    Effect.retry(Schedule.max([Schedule.spaced("20 millis"), Schedule.recurs(500)])),
    Effect.provide(Reactivity.layer)
  )
  for (const name of ["tls", "clear", "certificate"]) yield* sql`CREATE DATABASE ${sql(name)}`
  return TlsServer.of({
    port,
    directory,
    socket: `${cluster.sockets}/.s.PGSQL.${port}`,
    sql,
    user: cluster.user,
    password: Redacted.value(cluster.password),
    authority: Path.join(directory, "authority.crt"),
    stranger: Path.join(directory, "stranger.crt")
  })
})

export const layer = Layer.effect(TlsServer, make).pipe(
  Layer.provideMerge(DbConfig.layer),
  Layer.provideMerge(NodeServices.layer),
  Layer.orDie
)

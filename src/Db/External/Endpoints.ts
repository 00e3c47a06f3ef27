/** The endpoints of a connection URI in libpq's order: each host, with and without TLS as its sslmode allows. */
import * as Net from "node:net"
import * as Os from "node:os"
import * as Tls from "node:tls"
import type { Duplex } from "node:stream"
import * as PgProtocol from "@effect/sql-pg/PgProtocol"
import { Effect, FileSystem, Path, Schema } from "effect"
import type { ConnectionUrl, Host } from "./ConnectionUrl.ts"
import { systemReasonAt } from "../../SystemReason.ts"
import { DatabaseUnusable } from "../DatabaseUnusable.ts"

export interface Endpoint {
  readonly name: string
  readonly target: { readonly path: string } | { readonly host: string; readonly port: number }
  /** Undefined for an unencrypted connection. */
  readonly tls: Tls.ConnectionOptions | undefined
}

const isSocket = ({ host }: Host) => host.startsWith("/")

/** Milliseconds of silence before TCP probes. A vanished peer is detected after ten of them, one a second. */
const keepAlive = 10_000

const readCertificate = Effect.fnUntraced(function* (parameter: string, file: string) {
  const fs = yield* FileSystem.FileSystem
  return yield* Effect.mapError(
    fs.readFileString(file),
    (error) =>
      new DatabaseUnusable({
        problem: `The file of ${parameter} in DATABASE_URL can't be read (${systemReasonAt(error)})`,
        remedy: "name one that Spillway can read"
      })
  )
})

/** The trusted certificate authorities; undefined when the server is not verified. */
const authorities = Effect.fnUntraced(function* ({ sslMode, sslRootCert }: ConnectionUrl) {
  if (sslRootCert === "system") {
    const system = Tls.getCACertificates("system")
    return [...(system.length > 0 ? system : Tls.getCACertificates("default"))]
  }
  if (sslRootCert !== undefined) return yield* readCertificate("sslrootcert", sslRootCert)
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const standard = path.join(Os.homedir(), ".postgresql", "root.crt")
  if (yield* Effect.orElseSucceed(fs.exists(standard), () => false))
    return yield* readCertificate("sslrootcert", standard)
  if (sslMode !== "verify-ca" && sslMode !== "verify-full") return undefined
  return yield* new DatabaseUnusable({
    problem: `DATABASE_URL has sslmode=${sslMode} without the certificate authority to verify with`,
    remedy: "write sslrootcert=FILE, or sslrootcert=system (with sslmode=verify-full) for the system's authorities"
  })
})

/** As libpq, verifies the certificate in every mode if authorities are known, and the host name only in `verify-full`. */
const tlsOptions = Effect.fnUntraced(function* (url: ConnectionUrl) {
  const { sslCert, sslKey, sslMode, sslPassword } = url
  const ca = yield* authorities(url)
  const own =
    sslCert === undefined || sslKey === undefined
      ? {}
      : {
          cert: yield* readCertificate("sslcert", sslCert),
          key: yield* readCertificate("sslkey", sslKey),
          ...(sslPassword === undefined ? {} : { passphrase: sslPassword })
        }
  const secureContext = yield* Effect.try({
    try: () => Tls.createSecureContext({ ...own, ...(ca === undefined ? {} : { ca }) }),
    catch: (error) =>
      new DatabaseUnusable({
        problem: `The certificates in DATABASE_URL can't be used (${error instanceof Error ? error.message : error})`,
        remedy: "check the files of sslrootcert, sslcert and sslkey, and sslpassword"
      })
  })
  return ({ host }: Host): Tls.ConnectionOptions => ({
    secureContext,
    rejectUnauthorized: ca !== undefined,
    ...(Net.isIP(host) === 0 ? { servername: host } : {}),
    checkServerIdentity: (_, certificate) =>
      sslMode === "verify-full" ? Tls.checkServerIdentity(host, certificate) : undefined
  })
})

/** A Unix socket is never encrypted, whatever the mode. */
export const of = Effect.fnUntraced(function* (url: ConnectionUrl) {
  const isEncrypted = url.sslMode !== "disable" && !url.hosts.every(isSocket)
  const tlsFor = isEncrypted ? yield* tlsOptions(url) : () => undefined
  return url.hosts.flatMap((host): ReadonlyArray<Endpoint> => {
    const at = host.address ?? host.host
    if (isSocket(host))
      return [{ name: host.host, target: { path: `${host.host}/.s.PGSQL.${host.port}` }, tls: undefined }]
    const name = `${host.host}:${host.port}`
    const clear = { name, target: { host: at, port: host.port }, tls: undefined }
    const encrypted = { name: `${name} with TLS`, target: clear.target, tls: tlsFor(host) }
    switch (url.sslMode) {
      case "disable":
        return [clear]
      case "allow":
        return [clear, encrypted]
      case "prefer":
        return [encrypted, clear]
      default:
        return [encrypted]
    }
  })
})

/** No session at this endpoint. `isTls`: TLS negotiation or verification of the server failed. */
export class EndpointFailed extends Schema.TaggedError<EndpointFailed>()("EndpointFailed", {
  reason: Schema.String,
  isTls: Schema.Boolean,
  /** SQLSTATE of the server's error. */
  code: Schema.optionalKey(Schema.String),
  severity: Schema.optionalKey(Schema.String)
}) {
  override get message() {
    return this.reason
  }
}

/** A host with several addresses (`localhost`) fails with an error for each of them, and no message for all. */
const reasonOf = (error: Error): string =>
  error instanceof AggregateError ? error.errors.map(({ message }) => message).join(", ") : error.message

/** The server responds with one byte. More bytes would come from an attacker who injects data before encryption. */
const isAccepted = (answer: Uint8Array) => answer.length === 1 && answer[0] === 0x53

/** Opens a connection for a session. Interruption closes it. */
export function open({ target, tls }: Endpoint): Effect.Effect<Duplex, EndpointFailed> {
  return Effect.callback<Duplex, EndpointFailed>((resume) => {
    const socket = Net.connect({ ...target, noDelay: true, keepAlive: true, keepAliveInitialDelay: keepAlive })
    let current: Duplex = socket
    const fail = (reason: string, isTls: boolean) => {
      resume(new EndpointFailed({ reason, isTls }))
      socket.destroy()
    }
    const closed = () => fail("the server closed the connection", false)
    const succeed = () => {
      current.off("close", closed)
      resume(Effect.succeed(current))
    }
    // Never removed: an error before the session has a listener must not end the process.
    socket.on("error", (error) => fail(reasonOf(error), false))
    socket.once("close", closed)
    const encrypt = (answer: Uint8Array) => {
      if (!isAccepted(answer)) return fail("the server does not support TLS", true)
      socket.off("close", closed)
      current = Tls.connect({ ...tls, socket })
      current.on("error", ({ message }) => fail(`no TLS with the server: ${message}`, true))
      current.once("close", closed)
      current.once("secureConnect", succeed)
    }
    socket.once("connect", () => {
      if (tls === undefined) return succeed()
      socket.once("data", encrypt)
      socket.write(PgProtocol.encodeSslRequest())
    })
    return Effect.sync(() => void current.destroy())
  })
}

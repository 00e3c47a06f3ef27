/** Parses a connection URI as libpq does (PostgreSQL manual, "Connection URIs" and "Parameter Key Words"). */
import { Duration, Effect, Option, Result } from "effect"
import { DatabaseUnusable } from "../DatabaseUnusable.ts"

const sslModes = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] as const
export type SslMode = (typeof sslModes)[number]

export interface Host {
  /** A name, an address, or the directory of a Unix socket. */
  readonly host: string
  /** Connect to this address instead; certificates are still verified for `host`. */
  readonly address: string | undefined
  readonly port: number
}

export interface ConnectionUrl {
  /** At least one, in the order of attempts. */
  readonly hosts: ReadonlyArray<Host>
  readonly user: string | undefined
  readonly password: string | undefined
  readonly database: string | undefined
  readonly applicationName: string | undefined
  /** Command-line options for the session, such as `-c search_path=audio`. */
  readonly options: string | undefined
  /** Per host. */
  readonly connectTimeout: Duration.Duration | undefined
  readonly sslMode: SslMode
  /** A file, or `system`. */
  readonly sslRootCert: string | undefined
  readonly sslCert: string | undefined
  readonly sslKey: string | undefined
  readonly sslPassword: string | undefined
  /** Skips standbys and read-only servers. */
  readonly writable: boolean
}

const supported = [
  "host",
  "hostaddr",
  "port",
  "dbname",
  "user",
  "password",
  "connect_timeout",
  "application_name",
  "options",
  "sslmode",
  "sslrootcert",
  "sslcert",
  "sslkey",
  "sslpassword",
  "target_session_attrs"
] as const
type Parameter = (typeof supported)[number]

/** Parameters of libpq that have no effect here, with the values that are accepted. */
const harmless: Readonly<Record<string, ReadonlyArray<string>>> = {
  channel_binding: ["prefer", "disable"],
  client_encoding: ["auto", "utf8", "utf-8"],
  fallback_application_name: [],
  gssencmode: ["prefer", "disable"],
  keepalives: ["1"],
  load_balance_hosts: ["disable"],
  replication: ["false", "off", "no", "0"],
  ssl_min_protocol_version: ["tlsv1.2"],
  sslcompression: ["0"],
  sslnegotiation: ["postgres"],
  sslsni: ["1"]
}

/** Remedies for parameters of other drivers. */
const instead: Readonly<Record<string, string>> = {
  ssl: "write ssl=true, or sslmode=disable, require, verify-ca or verify-full",
  schema: "write options=-csearch_path%3DNAME",
  pgbouncer: "remove it: poolers are recognized",
  connection_limit: "set SPILLWAY_DB_POOL, and remove it",
  pool_timeout: "remove it: an operation waits for a connection for at most 60 seconds",
  sslaccept: "write sslmode=require, verify-ca or verify-full",
  channel_binding: "remove it: channel binding is not supported; sslmode=verify-full verifies the server"
}

/** The problem never contains a value that may be part of the password. */
const refuse = (problem: string, remedy: string) => new DatabaseUnusable({ problem: `DATABASE_URL ${problem}`, remedy })

const unreadable = (what: string) =>
  refuse(
    `can't be read: ${what}`,
    "write postgres://user:password@host:5432/database, with special characters of user and password percent-encoded" +
      " (@ as %40, / as %2F, : as %3A, # as %23, ? as %3F, % as %25)"
  )

const decode = (raw: string, what: string) =>
  Effect.fromResult(
    Result.mapError(
      Result.try(() => decodeURIComponent(raw)),
      () => unreadable(`${what} has a % without two hexadecimal digits`)
    )
  )

/** `host:port,[::1]:port` */
const authorityHosts = Effect.fnUntraced(function* (authority: string) {
  const hosts: Array<string> = []
  const ports: Array<string> = []
  for (const each of authority.split(",")) {
    const found = /^(?:\[([^\]]*)\]|([^:[\]@]*))(?::(\d*))?$/.exec(each)
    if (found === null) return yield* unreadable("what follows // is not a list of host:port")
    hosts.push(yield* decode(found[1] ?? found[2] ?? "", "the host"))
    ports.push(found[3] ?? "")
  }
  return { hosts, ports }
})

const checkHarmless = (key: string, value: string) => {
  const values = harmless[key]
  if (values === undefined)
    return refuse(
      `has ${key}, which is not supported`,
      instead[key] ?? "remove it, or see the documentation of DATABASE_URL"
    )
  return values.length === 0 || values.includes(value.toLowerCase())
    ? Effect.void
    : refuse(`has ${key}=${value}, which is not supported`, instead[key] ?? `remove it, or write ${key}=${values[0]}`)
}

const isSupported = (key: string): key is Parameter => supported.some((each) => each === key)

const readQuery = Effect.fnUntraced(function* (query: string) {
  const parameters = new Map<Parameter, string>()
  for (const pair of query.split("&").filter((text) => text !== "")) {
    const [rawKey = "", rawValue, ...more] = pair.split("=")
    if (rawValue === undefined || more.length > 0) return yield* unreadable("a parameter is not of the form name=value")
    const key = yield* decode(rawKey, "the name of a parameter")
    const value = yield* decode(rawValue, `the parameter ${key}`)
    if (key === "ssl" && value === "true") parameters.set("sslmode", "require")
    else if (isSupported(key)) parameters.set(key, value)
    else yield* checkHarmless(key, value)
  }
  return parameters
})

/** Repeats a single value for each host. */
const spread = (values: ReadonlyArray<string>, count: number, what: string) => {
  const [only] = values
  if (only === undefined) return Effect.succeed(Array.from({ length: count }, () => ""))
  if (values.length === 1) return Effect.succeed(Array.from({ length: count }, () => only))
  return values.length === count
    ? Effect.succeed(values)
    : unreadable(`it has ${count} hosts and ${values.length} ${what}`)
}

const portOf = (text: string) => {
  const port = text === "" ? 5432 : Number(text)
  return Number.isInteger(port) && port >= 1 && port <= 65_535
    ? Effect.succeed(port)
    : unreadable("a port is not a number from 1 to 65535")
}

const hostsOf = Effect.fnUntraced(function* (authority: string, parameters: ReadonlyMap<Parameter, string>) {
  const inAuthority = yield* authorityHosts(authority)
  const list = (key: Parameter) => parameters.get(key)?.split(",")
  const addresses = list("hostaddr") ?? []
  const named = list("host") ?? inAuthority.hosts
  const hosts = named.length === 1 && named[0] === "" && addresses.length > 0 ? addresses : named
  const ports = yield* spread(list("port") ?? inAuthority.ports, hosts.length, "ports")
  const at = yield* spread(addresses, hosts.length, "addresses")
  return yield* Effect.forEach(hosts, (host, index) =>
    host === ""
      ? refuse("names no host", "write one, or host=/var/run/postgresql for a socket on this machine")
      : Effect.map(portOf(ports[index] ?? ""), (port): Host => ({ host, address: at[index] || undefined, port }))
  )
})

const sslModeOf = Effect.fnUntraced(function* (parameters: ReadonlyMap<Parameter, string>) {
  const written = parameters.get("sslmode")
  const isSystem = parameters.get("sslrootcert") === "system"
  const mode = sslModes.find((each) => each === (written ?? (isSystem ? "verify-full" : "prefer")))
  if (mode === undefined)
    return yield* refuse(
      `has sslmode=${written}, which is not supported`,
      written === "no-verify" ? "write sslmode=require" : `write one of ${sslModes.join(", ")}`
    )
  if (isSystem && mode !== "verify-full")
    return yield* refuse(
      `has sslmode=${mode} with sslrootcert=system`,
      "write sslmode=verify-full: anyone can get a certificate from the system's authorities"
    )
  return mode
})

const writableOf = (wanted: string) => {
  if (wanted === "any") return Effect.succeed(false)
  if (wanted === "read-write" || wanted === "primary") return Effect.succeed(true)
  return refuse(
    `has target_session_attrs=${wanted}, which is not supported`,
    "write target_session_attrs=read-write: Spillway writes to its database"
  )
}

const timeoutOf = (seconds: string | undefined) => {
  if (seconds === undefined || seconds === "0") return Effect.succeed(undefined)
  return /^\d{1,6}$/.test(seconds)
    ? Effect.succeed(Duration.seconds(Number(seconds)))
    : refuse("has a connect_timeout that is not supported", "write a number of seconds")
}

/** `postgres://[user[:password]@][host][:port][,…][/database][?name=value&…]` */
export const parse = Effect.fnUntraced(function* (url: string): Effect.fn.Return<ConnectionUrl, DatabaseUnusable> {
  const found = /^postgres(?:ql)?:\/\/(?:([^@/]*)@)?([^/?]*)(?:\/([^?]*))?(?:\?(.*))?$/s.exec(url)
  if (found === null) return yield* unreadable("it is not a URL of PostgreSQL")
  const [, credentials, authority = "", path = "", query = ""] = found
  const parameters = yield* readQuery(query)
  const colon = credentials?.indexOf(":") ?? -1
  const part = Effect.fnUntraced(function* (key: Parameter, raw: string | undefined, what: string) {
    return (parameters.get(key) ?? (yield* decode(raw ?? "", what))) || undefined
  })
  const sslCert = parameters.get("sslcert")
  const sslKey = parameters.get("sslkey")
  if ((sslCert === undefined) !== (sslKey === undefined))
    return yield* refuse("has one of sslcert and sslkey", "write both, or neither")
  return {
    hosts: yield* hostsOf(authority, parameters),
    user: yield* part("user", colon < 0 ? credentials : credentials?.slice(0, colon), "the user"),
    password: yield* part("password", colon < 0 ? undefined : credentials?.slice(colon + 1), "the password"),
    database: yield* part("dbname", path, "the database"),
    applicationName: parameters.get("application_name"),
    options: parameters.get("options"),
    connectTimeout: yield* timeoutOf(parameters.get("connect_timeout")),
    sslMode: yield* sslModeOf(parameters),
    sslRootCert: parameters.get("sslrootcert"),
    sslCert,
    sslKey,
    sslPassword: parameters.get("sslpassword"),
    writable: yield* writableOf(parameters.get("target_session_attrs") ?? "any")
  }
})

/** Hosts and database for messages, without credentials. */
export function nameOf({ database, hosts, user }: ConnectionUrl): string {
  const places = hosts.map(({ host, port }) => (port === 5432 ? host : `${host}:${port}`))
  return `${places.join(",")}/${Option.getOrElse(Option.fromUndefinedOr(database ?? user), () => "")}`
}

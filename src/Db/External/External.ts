/** The database of `DATABASE_URL`, connected as libpq does. */
import { Duplex } from "node:stream"
import * as PgConnection from "@effect/sql-pg/PgConnection"
import { Cache, Duration, Effect, Exit, Layer, Predicate, Redacted, Result, Schedule } from "effect"
import { ConnectionError, SqlError } from "effect/sql/SqlError"
import * as Startup from "../../Startup.ts"
import * as ConnectionUrl from "./ConnectionUrl.ts"
import { DatabaseUnusable, fromSqlError } from "../DatabaseUnusable.ts"
import { DbConfig } from "../DbConfig.ts"
import { DbServer, type Login } from "../DbServer.ts"
import * as Endpoints from "./Endpoints.ts"
import * as Fault from "../Fault.ts"

/** How long an endpoint is reused, unless it fails. Shorter for a writable one: a server that became a standby still accepts. */
const endpointTime = { any: Duration.minutes(1), writable: Duration.seconds(5) }

const retrySpacing = Duration.millis(250)

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error))

/** Combines the failures of all endpoints. The SQLSTATE is that of the first server that responded. */
const combine = (
  failures: ReadonlyArray<readonly [name: string, failure: Endpoints.EndpointFailed]>
): Endpoints.EndpointFailed => {
  const [first] = failures
  if (first !== undefined && failures.length === 1) return first[1]
  const answer = failures.map(([, failure]) => failure).find(({ code }) => code !== undefined)
  return new Endpoints.EndpointFailed({
    ...answer,
    reason: failures.map(([name, { reason }]) => `${name}: ${reason}`).join("; "),
    isTls: failures.every(([, { isTls }]) => isTls)
  })
}

const ofSession = ({ reason }: SqlError): Endpoints.EndpointFailed => {
  const { cause } = reason
  if (cause instanceof Endpoints.EndpointFailed) return cause
  const answer =
    Predicate.hasProperty(cause, "code") && Predicate.hasProperty(cause, "severity")
      ? { code: String(cause.code), severity: String(cause.severity) }
      : {}
  return new Endpoints.EndpointFailed({ ...answer, reason: messageOf(cause), isTls: false })
}

/** Bounds the wait, because a pooler may accept the connection and queue the statement. */
const answeredWithin = (patience: Duration.Duration) => {
  const message = `no answer to a statement within ${Duration.format(patience)}`
  const reason = new ConnectionError({ cause: new Error(message), message, operation: "connect" })
  return Effect.timeoutOrElse({ duration: patience, orElse: () => Effect.fail(new SqlError({ reason })) })
}

const failed = (error: Error) => new Duplex({ construct: (done) => done(error) }).on("error", () => undefined)

/** A connection that buffers until `opened` succeeds; the client needs one synchronously to cancel a statement. */
const pending = (opened: Effect.Effect<Duplex, Endpoints.EndpointFailed>): Duplex => {
  let inner: Duplex | undefined
  const outer: Duplex = new Duplex({
    construct: (done) => {
      Effect.runCallback(opened, {
        onExit: (exit) => {
          if (exit._tag === "Failure") return done(new Error("the connection could not be opened"))
          inner = exit.value
          inner.on("data", (data) => outer.push(data))
          inner.on("error", (error) => outer.destroy(error))
          inner.on("close", () => outer.destroy())
          done()
        }
      })
    },
    read: () => undefined,
    write: (data, _encoding, done) => inner?.write(data, done),
    destroy: (error, done) => {
      inner?.destroy()
      done(error)
    }
  })
  return outer
}

/** The client supports one address and TLS mode, so connections are opened here. It evaluates `password`, then calls `stream`. */
const loginOf = Effect.fnUntraced(function* (url: ConnectionUrl.ConnectionUrl) {
  const config = yield* DbConfig
  const endpoints = yield* Endpoints.of(url)
  const patience = url.connectTimeout ?? config.connectTimeout
  const open = (endpoint: Endpoints.Endpoint) =>
    Effect.timeoutOrElse(Endpoints.open(endpoint), {
      duration: patience,
      orElse: () =>
        new Endpoints.EndpointFailed({ reason: `no answer within ${Duration.format(patience)}`, isTls: false })
    })
  const session = {
    ssl: false,
    username: url.user,
    database: url.database,
    startupOptions: url.options,
    applicationName: url.applicationName ?? "spillway"
  }
  const password = Redacted.make(url.password ?? "")

  /** Succeeds if a session starts at the endpoint and, where required, can write. */
  const probe = Effect.fnUntraced(
    function* (endpoint: Endpoints.Endpoint) {
      const stream = yield* open(endpoint)
      const connection = yield* PgConnection.make({
        ...session,
        password,
        connectTimeout: patience,
        stream: () => stream
      }).pipe(Effect.onError(() => Effect.sync(() => stream.destroy())))
      if (!url.writable) return
      const { rows } = yield* connection
        .query("SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::bool AS readonly", [], false)
        .pipe(answeredWithin(patience))
      if (rows[0]?.readonly === false) return
      return yield* new Endpoints.EndpointFailed({ reason: "the server is read-only", isTls: false })
    },
    Effect.scoped,
    Effect.catchTag("SqlError", (error) => Effect.fail(ofSession(error)))
  )

  const search = Effect.gen(function* () {
    const failures: Array<readonly [string, Endpoints.EndpointFailed]> = []
    for (const endpoint of endpoints) {
      const result = yield* Effect.result(probe(endpoint))
      if (Result.isSuccess(result)) return endpoint
      failures.push([endpoint.name, result.failure])
    }
    return yield* combine(failures)
  })
  const isOneOf = endpoints.length > 1 || url.writable
  const cache = yield* Cache.makeWith(() => search, {
    capacity: 1,
    timeToLive: (exit) => (Exit.isSuccess(exit) ? endpointTime[url.writable ? "writable" : "any"] : Duration.zero)
  })
  const first = yield* Effect.fromNullishOr(endpoints[0])
  const endpoint = isOneOf ? Cache.get(cache, "endpoint") : Effect.succeed(first)

  let latest = first
  const ready: Array<Duplex> = []
  const takeReady = (): Duplex => {
    const stream = ready.shift()
    if (stream === undefined) return pending(open(latest))
    // An interrupted attempt may have left a closed connection.
    return stream.destroyed ? takeReady() : stream
  }
  const connect = Effect.gen(function* () {
    latest = yield* endpoint
    ready.push(yield* Effect.tapError(open(latest), () => Cache.invalidateAll(cache)))
  })
  const login: Login = {
    ...session,
    // One attempt, after the search: for each endpoint the time to connect and the time to start a session.
    connectTimeout: Duration.times(patience, isOneOf ? 2 * endpoints.length + 1 : 1),
    password: connect.pipe(
      Effect.catch((error) => Effect.sync(() => void ready.push(failed(error)))),
      Effect.as(password)
    ),
    stream: takeReady
  }
  return login
})

/** Behind a pooler, the process ID of the connection differs from that of the server process that runs statements. */
const isPooled = Effect.fnUntraced(function* (login: Login, patience: Duration.Duration) {
  const connection = yield* PgConnection.make(login)
  const { rows } = yield* connection.query("SELECT pg_backend_pid() AS pid", [], false).pipe(answeredWithin(patience))
  return rows[0]?.pid !== connection.processId
}, Effect.scoped)

const isTls = ({ reason }: SqlError) => reason.cause instanceof Endpoints.EndpointFailed && reason.cause.isTls

const make = Effect.fnUntraced(function* (raw: Redacted.Redacted) {
  const config = yield* DbConfig
  const url = yield* ConnectionUrl.parse(Redacted.value(raw))
  const login = yield* loginOf(url)
  const name = ConnectionUrl.nameOf(url)
  const pooled = yield* isPooled(login, config.connectTimeout).pipe(
    Effect.tapError((error) =>
      Effect.logDebug("The database does not answer yet", { database: name, cause: error.reason.cause })
    ),
    // A server that starts together with this node is not ready immediately.
    Effect.retry({
      while: (error) => Fault.classify(error) === "refused" && !isTls(error),
      schedule: Schedule.spaced(retrySpacing).pipe(Schedule.upTo({ duration: config.startTimeout }))
    }),
    Effect.mapError((error) =>
      isTls(error)
        ? new DatabaseUnusable({
            problem: `The database ${name} can't be used (${messageOf(error.reason.cause)})`,
            remedy: "check sslmode and sslrootcert in DATABASE_URL, and the server's certificate"
          })
        : fromSqlError({ name, embedded: false }, error)
    ),
    (connected) => Startup.during(`Waiting for the database ${name}.`, connected)
  )
  if (pooled)
    yield* Effect.logInfo("The database is behind a connection pooler").pipe(Effect.annotateLogs({ database: name }))
  return DbServer.of({ login, name, embedded: false, pooled })
})

export function layer(url: Redacted.Redacted) {
  return Layer.effect(DbServer, make(url))
}

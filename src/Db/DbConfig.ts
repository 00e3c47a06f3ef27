/** How the database is reached, and the bounds on every use of it. */
import { Context } from "effect"
import * as Settings from "../Settings.ts"

/** The start parses the rest of the URL, with a message for each mistake. */
const isPostgresUrl = (raw: string) => /^postgres(ql)?:\/\//.test(raw)

const settings = {
  url: Settings.optionalSecret(
    "DATABASE_URL",
    "a URL such as `postgres://user:password@host:5432/database`",
    isPostgresUrl,
    "A PostgreSQL 15 or later to use, with the parameters of libpq. Set it to use a managed database or to run several nodes. Without it the node runs its own PostgreSQL in its data directory."
  ),
  pool: Settings.integer(
    "SPILLWAY_DB_POOL",
    20,
    { min: 2, max: 1000 },
    "Connections: two fifths for recording, one for health checks, the rest for requests, of which one user has at most three tenths. Operations wait for a free one until their deadline. Lower it when the nodes together would exceed the database's `max_connections`; raise it when operations wait although the database is idle."
  ),
  waiters: Settings.constant(
    Settings.integer(
      "DB_WAITERS",
      1000,
      { min: 1, max: 100_000 },
      "Operations of recording that may wait for a connection, and as many of requests. One more is rejected at once (503)."
    )
  ),
  statementTimeout: Settings.constant(
    Settings.duration(
      "DB_STATEMENT_TIMEOUT",
      "30 seconds",
      "How long one operation may run. Then it is cancelled on the server, and not retried (503)."
    )
  ),
  deadline: Settings.constant(
    Settings.duration(
      "DB_DEADLINE",
      "60 seconds",
      "How long one operation may take with waiting and all retries. Then it fails (503)."
    )
  ),
  retries: Settings.constant(
    Settings.integer(
      "DB_RETRIES",
      5,
      { min: 0, max: 100 },
      "Retries of an operation that the database rejected for a temporary reason. Then it fails (503)."
    )
  ),
  retryBase: Settings.constant(
    Settings.duration("DB_RETRY_BASE", "100 millis", "Wait before the first retry; doubles each time.")
  ),
  retryCap: Settings.constant(Settings.duration("DB_RETRY_CAP", "2 seconds", "Longest wait between two attempts.")),
  retryFloor: Settings.constant(
    Settings.duration("DB_RETRY_FLOOR", "10 millis", "Shortest wait between two attempts.")
  ),
  retryJitter: Settings.constant(
    Settings.integer(
      "DB_RETRY_JITTER",
      25,
      { min: 0, max: 100 },
      "Percent by which each wait is made longer or shorter at random, so that nodes do not retry in step."
    )
  ),
  connectTimeout: Settings.constant(
    Settings.duration(
      "DB_CONNECT_TIMEOUT",
      "5 seconds",
      "How long one connection may take to open. Then the attempt fails."
    )
  ),
  startTimeout: Settings.constant(
    Settings.duration(
      "DB_START_TIMEOUT",
      "10 seconds",
      "How long to wait at start for an external database that does not answer yet. Then the program ends."
    )
  ),
  postgresUser: Settings.integer(
    "SPILLWAY_POSTGRES_UID",
    65_534,
    { min: 1, max: 4_294_967_294 },
    "User and group id of the node's own PostgreSQL when Spillway runs as root, which PostgreSQL refuses to run as. Change it when another service has this id, or when the volume belongs to another user."
  ),
  postgresStartTimeout: Settings.constant(
    Settings.duration(
      "POSTGRES_START_TIMEOUT",
      "5 minutes",
      "How long the node's own PostgreSQL may take to start; after a crash it first replays its log. Then the program ends."
    )
  ),
  postgresStopTimeout: Settings.constant(
    Settings.duration(
      "POSTGRES_STOP_TIMEOUT",
      "10 seconds",
      "How long the node's own PostgreSQL may take to stop. Then it is stopped immediately, and replays its log at the next start."
    )
  )
}

export class DbConfig extends Context.Service<DbConfig, Settings.Values<typeof settings>>()("spillway/Db/DbConfig") {
  static readonly settings = settings
  static readonly layer = Settings.layer(this, settings)
}

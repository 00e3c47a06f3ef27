/** The embedded PostgreSQL: a supervised child process in the data directory. */
import { Duration, Effect, Exit, FileSystem, Layer, Path, Schedule, Scope } from "effect"
import { NodeConfig } from "../../NodeConfig.ts"
import * as Startup from "../../Startup.ts"
import type { DatabaseUnusable } from "../DatabaseUnusable.ts"
import { DbConfig } from "../DbConfig.ts"
import { DbServer } from "../DbServer.ts"
import * as Binaries from "./Binaries.ts"
import * as Cluster from "./Cluster.ts"
import * as Orphan from "./Orphan.ts"
import * as Process from "./Process.ts"

/** Backoff of restarts: 100 ms, doubling up to 3 s, without end, because nothing works without the database. */
const restarts = Schedule.min([Schedule.exponential("100 millis"), Schedule.spaced("3 seconds")])

const make = Effect.fnUntraced(function* (durable: boolean) {
  const config = yield* DbConfig
  const { dataDir } = yield* NodeConfig
  const binaries = yield* Binaries.find
  const cluster = yield* Cluster.prepare(binaries, dataDir, durable)
  const outer = yield* Scope.Scope

  const clear = Effect.catchTag(Orphan.cleanUp(cluster, config.postgresStopTimeout), "PlatformError", Effect.die)
  const begin = Effect.gen(function* () {
    const scope = yield* Scope.fork(outer)
    const child = yield* Process.run(binaries, cluster, durable).pipe(
      Scope.provide(scope),
      Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
    )
    return { child, scope }
  })
  const again = Effect.andThen(clear, begin).pipe(
    Effect.tapError((error) => Effect.logError(`PostgreSQL could not be restarted: ${error.message}`)),
    Effect.retry(restarts),
    Effect.orDie
  )
  const supervise = Effect.fnUntraced(function* (run: Effect.Success<typeof begin>) {
    let { child, scope } = run
    while (true) {
      const how = yield* child.ended
      yield* Effect.logError("PostgreSQL exited unexpectedly and is being restarted").pipe(
        Effect.annotateLogs({ how, lastLines: child.lastLines() })
      )
      yield* Scope.close(scope, Exit.void)
      ;({ child, scope } = yield* again)
    }
  })

  yield* clear
  const [took, first] = yield* Effect.timed(Startup.during("PostgreSQL is starting.", begin))
  yield* Effect.logDebug("PostgreSQL is ready", { took: Duration.format(took), pid: first.child.pid })
  yield* Effect.forkScoped(supervise(first))
  return DbServer.of({
    login: {
      host: cluster.sockets,
      port: 5432,
      database: "postgres",
      username: Cluster.superuser,
      password: cluster.password
    },
    name: "of this node",
    embedded: true,
    pooled: false
  })
})

export const layer: Layer.Layer<DbServer, DatabaseUnusable, DbConfig | NodeConfig | FileSystem.FileSystem | Path.Path> =
  Layer.effect(DbServer, make(true))

/** For tests: without syncs, startup and commits are faster. */
export const layerNotDurable: typeof layer = Layer.effect(DbServer, make(false))

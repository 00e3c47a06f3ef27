/** `Db` with a test's own limits or server. */
import { PgClient } from "@effect/sql-pg"
import { Context, Effect, Layer, Schedule } from "effect"
import { Db } from "../../../src/Db.ts"
import { DbConfig } from "../../../src/Db/DbConfig.ts"
import { DbServer } from "../../../src/Db/DbServer.ts"
import * as PgDb from "../../../src/Db/PgDb.ts"
import * as Settings from "../../../src/Settings.ts"

export const configWith = (changes: Partial<DbConfig["Service"]>) =>
  Layer.effect(
    DbConfig,
    Effect.map(Settings.read(DbConfig.settings), (settings) => ({ ...settings, ...changes }))
  )

/** A pool of its own on `server`, closed with the scope. */
export const dbOn = (server: DbServer["Service"], changes: Partial<DbConfig["Service"]> = {}) =>
  Layer.build(
    Layer.fresh(PgDb.layer).pipe(
      Layer.provide(Layer.succeed(DbServer, server)),
      Layer.provide(configWith(changes)),
      Layer.orDie
    )
  ).pipe(Effect.map((context) => ({ db: Context.get(context, Db), sql: Context.get(context, PgClient.PgClient) })))

/** Polls `look` until its result satisfies `wanted`, for at most two minutes. */
export const until = <A, E, R>(look: Effect.Effect<A, E, R>, wanted: (a: A) => boolean) =>
  look.pipe(
    Effect.repeat({ until: wanted, schedule: Schedule.spaced("5 millis") }),
    Effect.timeout("2 minutes"),
    Effect.orDie
  )

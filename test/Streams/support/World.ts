/** Rows of streams on a real database, without the loops. */
import { Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { Events } from "../../../src/Events.ts"
import { Finalization } from "../../../src/Finalization.ts"
import { StreamErasure } from "../../../src/Streams.ts"
import { BroadcastRows } from "../../../src/Streams/Broadcasts/BroadcastRows.ts"
import { MetricRows } from "../../../src/Streams/Metrics/MetricRows.ts"
import { StreamRows } from "../../../src/Streams/StreamRows.ts"
import { StreamsConfig } from "../../../src/Streams/StreamsConfig.ts"
import * as Postgres from "../../support/Postgres.ts"
import { environment } from "../../support/Settings.ts"

export const layerWith = (finalization: Pick<Finalization["Service"], "request">) =>
  Layer.mergeAll(StreamRows.layer, MetricRows.layer, StreamErasure.layer).pipe(
    Layer.provideMerge(BroadcastRows.layer),
    Layer.provide([
      Events.layer,
      Layer.mock(Finalization, finalization),
      StreamsConfig.layer.pipe(Layer.provide(environment({})))
    ]),
    Layer.provideMerge(Postgres.layer)
  )

export const layer = layerWith({ request: () => Effect.succeed(true) })

/** The base64 of the hash of the stream key that `keyed` gives a stream. */
export const keyHashOf = (stream: number) => Buffer.from(String(stream)).toString("base64")

/** Gives a stream a key. */
export const keyed = (stream: number) =>
  SqlClient.SqlClient.use(
    (sql) =>
      sql`update streams set key_hash = decode(${keyHashOf(stream)}, 'base64') where id = ${String(stream)}::bigint`
  )

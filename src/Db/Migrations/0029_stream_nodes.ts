/** What each node knows of a live stream, for its metrics. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export const streamNodes = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  // Written every few seconds by nodes that feed the stream or have listeners. A row that is not written any more is ignored.
  yield* sql`
    create table stream_nodes (
      stream_id bigint not null,
      node uuid not null,
      written_at timestamptz not null default now(),
      bitrate float8 not null,
      listeners integer not null,
      queued integer not null,
      deferred integer not null,
      primary key (stream_id, node)
    )`
  yield* sql`create index stream_nodes_written on stream_nodes (written_at)`
})

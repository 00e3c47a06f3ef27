/** Objects that are to be deleted, and purges of conversations and accounts. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export const deletion = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  // Only the object of this generation is deleted. Without `due_at` nothing is left to do.
  yield* sql`
    CREATE TABLE tombstones (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      key text COLLATE "C" NOT NULL,
      generation text NOT NULL,
      uid text NOT NULL,
      due_at timestamptz,
      attempts integer NOT NULL DEFAULT 0,
      token uuid,
      last_error text,
      dead_at timestamptz,
      created_at timestamptz NOT NULL DEFAULT now(),
      UNIQUE (key, generation)
    )`
  yield* sql`CREATE INDEX tombstones_due ON tombstones (due_at, id) WHERE due_at IS NOT NULL`
  yield* sql`CREATE INDEX tombstones_dead ON tombstones (dead_at, id) WHERE dead_at IS NOT NULL`
  yield* sql`CREATE INDEX tombstones_due_of_user ON tombstones (uid, due_at, id) WHERE due_at IS NOT NULL`
  yield* sql`CREATE INDEX tombstones_dead_of_user ON tombstones (uid, dead_at, id) WHERE dead_at IS NOT NULL`
  // Each tombstone leaves two dead rows. The defaults would let them grow to a fifth of the table.
  yield* sql`ALTER TABLE tombstones SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000)`

  // Without `conversation_id` it is the whole account. Cancelled before `started_at`, it is finished without it. The counts
  // are what was deleted, `expected` the chunks at the start, `left_objects` what the last listing found.
  yield* sql`
    CREATE TABLE purges (
      id uuid PRIMARY KEY,
      uid text NOT NULL,
      conversation_id text,
      due_at timestamptz,
      attempts integer NOT NULL DEFAULT 0,
      token uuid,
      last_error text,
      requested_at timestamptz NOT NULL DEFAULT now(),
      started_at timestamptz,
      finished_at timestamptz,
      dead_at timestamptz,
      expected bigint NOT NULL DEFAULT 0,
      conversations bigint NOT NULL DEFAULT 0,
      chunks bigint NOT NULL DEFAULT 0,
      objects bigint NOT NULL DEFAULT 0,
      bytes bigint NOT NULL DEFAULT 0,
      tombstones bigint NOT NULL DEFAULT 0,
      keys bigint NOT NULL DEFAULT 0,
      left_objects bigint
    )`
  yield* sql`CREATE INDEX purges_due ON purges (due_at, id) WHERE due_at IS NOT NULL`
  yield* sql`CREATE INDEX purges_dead ON purges (dead_at, id) WHERE dead_at IS NOT NULL`
  yield* sql`CREATE INDEX purges_finished ON purges (finished_at, id) WHERE finished_at IS NOT NULL`
  yield* sql`CREATE INDEX purges_running ON purges (started_at) WHERE started_at IS NOT NULL AND finished_at IS NULL`
  yield* sql`CREATE INDEX purges_of ON purges (uid, conversation_id, finished_at)`
  // A second request for the same purge finds the first. No conversation has an empty id.
  yield* sql`
    CREATE UNIQUE INDEX purges_unfinished ON purges (uid, (coalesce(conversation_id, ''))) WHERE finished_at IS NULL`
})

/** Requests to finish a conversation, and the turns of users who have some. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export const finalizations = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  // `job`: the client's id, empty without one. Neither due nor dead: it has ended with `outcome`, at `ended_at`.
  yield* sql`
    CREATE TABLE finalizations (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      uid text NOT NULL,
      conversation_id text NOT NULL,
      job text NOT NULL,
      generation bigint NOT NULL,
      due_at timestamptz,
      attempts integer NOT NULL DEFAULT 0,
      token uuid,
      last_error text,
      dead_at timestamptz,
      ended_at timestamptz,
      outcome text,
      UNIQUE (uid, conversation_id, job)
    )`
  yield* sql`CREATE INDEX finalizations_due_of_user ON finalizations (uid, due_at, id) WHERE due_at IS NOT NULL`
  yield* sql`CREATE INDEX finalizations_due ON finalizations (due_at) WHERE due_at IS NOT NULL`
  yield* sql`CREATE INDEX finalizations_old ON finalizations ((greatest(ended_at, dead_at)), id) WHERE due_at IS NULL`
  yield* sql`CREATE INDEX finalizations_dead ON finalizations (dead_at, id) WHERE dead_at IS NOT NULL`

  yield* sql`
    CREATE TABLE finalization_turns (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      uid text NOT NULL UNIQUE,
      due_at timestamptz,
      attempts integer NOT NULL DEFAULT 0,
      token uuid,
      last_error text,
      dead_at timestamptz
    )`
  yield* sql`CREATE INDEX finalization_turns_due ON finalization_turns (due_at, id) WHERE due_at IS NOT NULL`
})

/** Where the recorded audio of broadcasts ends: their VODs wait for it to be stored. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export const broadcastAudio = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  // Unix second at which the durable audio of the conversation ended on the nodes that fed the broadcast.
  yield* sql`alter table broadcasts add column audio_end float8`
})

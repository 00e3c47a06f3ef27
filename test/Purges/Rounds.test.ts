/** `src/Purges` on two servers: nothing of what is purged is left, and everything else is. */
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { DbServer } from "../../src/Db/DbServer.ts"
import * as Postgres from "../support/Postgres.ts"
import { complaints, purgeRounds } from "./support/Rounds.ts"

/** `npm run purges` makes 50. One wave for each kind of kill. */
const waves = 3

layer(Postgres.layerServer, { excludeTestServices: true, timeout: 300_000 })("A purge", (it) => {
  it.effect("leaves no object and no row while devices record, requests get lost and nodes are killed", () =>
    Effect.gen(function* () {
      const { login } = yield* DbServer
      const report = yield* Effect.promise(() => purgeRounds(login, { waves, perWave: 4, seed: 20_261_129 }))
      console.log(JSON.stringify(report))
      assert.deepStrictEqual(complaints(report), [])
    })
  )
})

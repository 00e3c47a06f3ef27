/** What `/health/ready` asks: can this node take audio, find it again, and put it where it belongs. */
import { Effect, Layer } from "effect"
import { Db, DbCaller, healthCaller } from "../Db.ts"
import { Recording } from "../Recording.ts"
import { Readiness } from "../Readiness.ts"
import * as StoreProbe from "./StoreProbe.ts"

export const layer = Layer.effectDiscard(
  Effect.gen(function* () {
    const readiness = yield* Readiness
    const db = yield* Db
    const recording = yield* Recording
    yield* readiness.add(
      "database",
      Effect.provideService(
        db.read("Readiness", (sql) => sql`select 1`),
        DbCaller,
        healthCaller
      )
    )
    yield* readiness.add("storage", (yield* StoreProbe.make).check)
    yield* readiness.add(
      "journal",
      Effect.suspend(() => {
        const { budget, bytes, failing } = recording.journal()
        if (failing) return Effect.fail("The last write to the journal failed.")
        return bytes < budget ? Effect.void : Effect.fail(`The journal's budget of ${budget} bytes is spent.`)
      })
    )
  })
)

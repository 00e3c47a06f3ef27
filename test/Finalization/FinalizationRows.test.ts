/** The rows of finalizations on a real database: turns of users, leases, and what is done after a node has ended. */
import { assert, layer } from "@effect/vitest"
import { Effect, Exit, Layer, Option } from "effect"
import { SqlClient } from "effect/sql"
import { maxAttempts } from "../../src/Claims.ts"
import { FinalizationRows, type JobRequest } from "../../src/Finalization/FinalizationRows.ts"
import * as Postgres from "../support/Postgres.ts"

const job = (uid: string, conversation = "talk", name = "job"): JobRequest => ({
  uid,
  conversation,
  job: name,
  generation: 1
})

const clear = SqlClient.SqlClient.use((sql) => sql`TRUNCATE finalizations, finalization_turns`)

const claim = Effect.gen(function* () {
  const { claim } = yield* FinalizationRows
  const turn = Option.getOrUndefined(yield* claim)
  return turn?.outcome === "claimed" ? turn.job : undefined
})

const claimed = Effect.flatMap(claim, (found) =>
  found === undefined ? Effect.die(new Error("a job is due")) : Effect.succeed(found)
)

/** The leases end now, as they do 12 s after a node was killed. */
const lapse = SqlClient.SqlClient.use((sql) =>
  Effect.andThen(
    sql`UPDATE finalizations SET due_at = now() WHERE due_at IS NOT NULL`,
    sql`UPDATE finalization_turns SET due_at = now(), token = NULL`
  )
)

const stateOf = (request: JobRequest) =>
  FinalizationRows.use((rows) => Effect.map(rows.states([request]), ([state]) => state))

layer(FinalizationRows.layer.pipe(Layer.provideMerge(Postgres.layer)), { excludeTestServices: true })(
  "FinalizationRows",
  (it) => {
    it.effect("claims the job of a user next who has one, whatever another has waiting", () =>
      Effect.gen(function* () {
        yield* clear
        const sql = yield* SqlClient.SqlClient
        const rows = yield* FinalizationRows
        yield* sql`
          INSERT INTO finalizations (uid, conversation_id, job, generation, due_at)
          SELECT 'many', 'c' || n, 'j', 1, now() - interval '1 hour' FROM generate_series(1, 50000) n`
        yield* sql`INSERT INTO finalization_turns (uid, due_at) VALUES ('many', now() - interval '1 hour')`
        assert.strictEqual((yield* claimed).uid, "many")
        yield* rows.request(job("one"))
        const users = [(yield* claimed).uid, (yield* claimed).uid]
        assert.include(users, "one")
        assert.isFalse(yield* rows.request(job("many", "further")), "the bound of the user")
        const plan = yield* sql.unsafe<Record<string, string>>(
          `EXPLAIN SELECT id FROM finalizations WHERE uid = 'many' AND due_at <= now() ORDER BY due_at, id LIMIT 1`
        )
        assert.include(JSON.stringify(plan), "finalizations_due_of_user")
      })
    )

    it.effect("does a claimed job again after its node has ended, and keeps an outcome of the first claim away", () =>
      Effect.gen(function* () {
        yield* clear
        const rows = yield* FinalizationRows
        yield* rows.request(job("ada"))
        const before = yield* claimed
        assert.isUndefined(yield* claim)
        yield* lapse
        const after = yield* claimed
        assert.strictEqual(after.id, before.id)
        const late = yield* Effect.exit(rows.complete(before, Effect.die(new Error("it does not run"))))
        assert.isTrue(Exit.isFailure(late) && !Exit.hasDies(late))
        assert.strictEqual(yield* rows.fail(before, "late"), "lost")
        assert.strictEqual(yield* stateOf(job("ada")), "conflicting")
        assert.strictEqual(yield* rows.complete(after, Effect.succeed("finished")), "finished")
        assert.strictEqual(yield* stateOf(job("ada")), "finished")
        yield* lapse
        assert.isUndefined(yield* claim)
      })
    )

    it.effect("repeats what was rolled back with its outcome", () =>
      Effect.gen(function* () {
        yield* clear
        const sql = yield* SqlClient.SqlClient
        const rows = yield* FinalizationRows
        yield* rows.request(job("ada"))
        const first = yield* claimed
        const killed = Effect.andThen(
          sql`INSERT INTO finalization_turns (uid) VALUES ('marker')`.pipe(Effect.orDie),
          Effect.die(new Error("the node ends here"))
        )
        yield* Effect.exit(rows.complete(first, killed))
        assert.strictEqual(yield* stateOf(job("ada")), "leased")
        yield* lapse
        yield* rows.complete(yield* claimed, Effect.succeed("finished"))
        assert.strictEqual(yield* stateOf(job("ada")), "finished")
      })
    )

    it.effect("gives up a job that ends 20 nodes", () =>
      Effect.gen(function* () {
        yield* clear
        const rows = yield* FinalizationRows
        yield* rows.request(job("ada"))
        let claims = 0
        // After the second lapse each claim waits for its backoff, which ends here at once.
        for (let turn = 0; turn < 2 * maxAttempts; turn++) {
          if ((yield* claim) !== undefined) claims++
          yield* lapse
        }
        assert.strictEqual(claims, maxAttempts)
        assert.strictEqual(yield* stateOf(job("ada")), "dead")
        yield* rows.request(job("ada"))
        assert.strictEqual(yield* stateOf(job("ada")), "dead")
        yield* rows.request({ ...job("ada"), generation: 2 })
        assert.strictEqual((yield* claimed).generation, 2)
      })
    )

    it.effect("joins a repeated job, replaces it with a later generation, and says which one is stale", () =>
      Effect.gen(function* () {
        yield* clear
        const rows = yield* FinalizationRows
        const [one, two] = [job("ada"), { ...job("ada"), generation: 2 }]
        yield* rows.request(one)
        const before = yield* claimed
        yield* rows.request(one)
        assert.isUndefined(yield* claim)
        yield* rows.request(two)
        assert.strictEqual(yield* rows.fail(before, "late"), "lost")
        const after = yield* claimed
        assert.strictEqual(after.generation, 2)
        yield* rows.complete(after, Effect.succeed("finished"))
        assert.deepStrictEqual(yield* rows.states([one, two, job("bob")]), ["stale", "finished", "gone"])
        const unnamed = job("ada", "talk", "")
        yield* rows.request(unnamed)
        yield* rows.complete(yield* claimed, Effect.succeed("conversation_not_found"))
        yield* rows.request(unnamed)
        assert.strictEqual(yield* stateOf(unnamed), "leased")
      })
    )
  }
)

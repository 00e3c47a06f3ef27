/** `src/Vods` on a database that does not answer: statements end on the server, and requests with 503. */
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { Studio, test } from "./support/Studio.ts"

const path = "/api/v1/studio/vods"
const timeout = 1_500

/** No statement reads VODs until the release. */
const hold = async ({ sql }: Studio["Service"]) => {
  const [held, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const work = Effect.andThen(
    sql`lock table vods in access exclusive mode`,
    Effect.promise(() => {
      held.resolve()
      return released.promise
    })
  )
  const ended = Effect.runPromise(sql.withTransaction(work))
  await Promise.race([held.promise, ended])
  return async () => {
    released.resolve()
    await ended
  }
}

/** Each list of VODs sleeps for a minute until the release. */
const sleep = async ({ query }: Studio["Service"]) => {
  await query(`alter table vod_counts rename to kept`)
  await query(`create view vod_counts as select * from kept where (select pg_sleep(60)::text) is not null`)
  return async () => {
    await query(`drop view vod_counts`)
    await query(`alter table kept rename to vod_counts`)
  }
}

/** Lists of VODs that the server runs now. */
const running = async ({ query }: Studio["Service"]) => {
  const rows = await query(`
    select 1 from pg_stat_activity
    where state = 'active' and pid <> pg_backend_pid() and query like '%from vod_counts%'`)
  return rows.length
}

const limits = {
  SPILLWAY_DB_POOL: "6",
  DB_STATEMENT_TIMEOUT: `${timeout} millis`,
  DB_WAITERS: "4",
  DB_DEADLINE: "3 seconds"
}

layer(Studio.layer(limits), { excludeTestServices: true })("A list of VODs", (it) => {
  it.effect("that sleeps is answered with 503, and its statement is gone within a second of its timeout", () =>
    test(async (studio) => {
      assert.strictEqual((await studio.call("GET", path)).status, 200)
      const release = await sleep(studio)
      const began = performance.now()
      const answer = studio.call("GET", path)
      while ((await running(studio)) === 0) assert.isBelow(performance.now() - began, timeout)
      const { body, headers, status } = await answer
      assert.deepStrictEqual([status, body.type], [503, "urn:spillway:problem:database-timeout"])
      assert.strictEqual(headers.get("retry-after"), "1")
      while ((await running(studio)) > 0);
      assert.isBelow(performance.now() - began, timeout + 1_000)
      await release()
      assert.strictEqual((await studio.call("GET", path)).status, 200)
    })
  )

  it.effect("is answered with 503 and Retry-After at once when the pool and its queue are full", () =>
    test(async (studio) => {
      assert.strictEqual((await studio.call("GET", path)).status, 200)
      const release = await hold(studio)
      const began = performance.now()
      const timed = async () => {
        const { body, headers, status } = await studio.call("GET", path)
        return { type: body.type, status, again: headers.get("retry-after"), millis: performance.now() - began }
      }
      const answers = await Promise.all(Array.from({ length: 20 }, timed))
      await release()
      const rejected = answers.filter(({ type }) => type === "urn:spillway:problem:database-unavailable")
      assert.isAtLeast(rejected.length, 8)
      for (const { again, status } of answers) assert.deepStrictEqual([status, again], [503, "1"])
      assert.isBelow(Math.min(...rejected.map(({ millis }) => millis)), timeout)
      assert.strictEqual((await studio.call("GET", path)).status, 200)
    })
  )

  it.effect("of a stream is answered to visitors of one address while those of another fill their queue", () =>
    test(async (studio) => {
      await studio.call("POST", "/api/v1/studio/streams", { body: { slug: "visited", title: "T" } })
      const from = async (address: string) => {
        const headers = { "x-forwarded-for": address }
        const { body, status } = await studio.call("GET", "/api/v1/studio/streams/visited/vods", { key: null, headers })
        return status === 200 ? status : body.type
      }
      assert.strictEqual(await from("198.51.100.1"), 200)
      const release = await hold(studio)
      const greedy = Array.from({ length: 100 }, () => from("198.51.100.1"))
      const refused = await Promise.any(greedy)
      const modest = from("198.51.100.2")
      const first = await Promise.race([modest, new Promise((resolve) => setTimeout(() => resolve("waits"), 500))])
      await release()
      assert.strictEqual(refused, "urn:spillway:problem:too-many-requests")
      assert.strictEqual(first, "waits")
      assert.strictEqual(await modest, 200)
      await Promise.all(greedy)
    }).pipe(Effect.provide(Studio.layer({ SPILLWAY_DB_POOL: "6" })))
  )
})

/** `src/Streams`: the plans of its statements. None reads more than its batch or page. */
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { StreamErasure } from "../../src/Streams.ts"
import { BroadcastRows } from "../../src/Streams/Broadcasts/BroadcastRows.ts"
import { MetricRows } from "../../src/Streams/Metrics/MetricRows.ts"
import { StreamRows } from "../../src/Streams/StreamRows.ts"
import * as Bulk from "../support/Bulk.ts"
import * as Plans from "../support/Plans.ts"
import { pretend } from "../Vods/support/Many.ts"
import * as World from "./support/World.ts"

const filled = 1_000_000

/** Streams of one user, nearly all of them deleted. */
const ofUser = 10_000

/** Broadcasts of one stream. */
const ofStream = 999_500

const uuid = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, "0")}`

/** Streams 1 to 500 are live, and the captures of the first 250 are gone. Stream 501 had many broadcasts. Most nodes are gone. */
const fill = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const rows = Effect.gen(function* () {
    yield* sql`
      insert into streams (uid, slug, title, deleted_at)
      select case when n > ${filled - ofUser}::int then 'big' else 'u' || n % 10000 end, 's' || n, 'T',
             case when n between ${filled - ofUser + 1}::int and ${filled - 10}::int then now() end
      from generate_series(1, ${filled}::int) as n`
    yield* sql`
      insert into broadcasts (stream_id, id, uid, conversation, capture, seen_at, ended_at, has_vod)
      select case when n <= 501 then n else 501 end, n, 'u', 'c' || n,
             case when n <= 500 then ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid end,
             case when n <= 250 then now() - interval '1 hour' else now() + interval '1 hour' end,
             case when n > 500 then now() end, n > 500
      from generate_series(1, ${ofStream + 500}::int) as n`
  })
  yield* Bulk.load(["broadcasts", "streams"], rows)
  yield* sql`
    insert into stream_nodes (stream_id, node, written_at, bitrate, listeners, queued, deferred)
    select n % 5000, ('00000000-0000-4000-8000-' || lpad((n / 5000)::text, 12, '0'))::uuid,
           case when n < 15000 then now() - interval '1 hour' else now() end, 1, 1, 1, 1
    from generate_series(1, 20000) as n`
  for (const stream of [1, 400, 600]) yield* World.keyed(stream)
  yield* sql`vacuum analyze stream_nodes`
  yield* pretend(["stream_nodes"], 1_000_000)
})

layer(World.layer, { excludeTestServices: true })("Every statement of streams", (it) => {
  it.effect("reads no more rows than it returns or checks, at a million streams", () =>
    Effect.gen(function* () {
      yield* fill
      const sql = yield* SqlClient.SqlClient
      const [streams, broadcasts, metrics, erasure] = [
        yield* StreamRows,
        yield* BroadcastRows,
        yield* MetricRows,
        yield* StreamErasure
      ]
      const entry = (stream: number, conversation: string | undefined) => ({
        stream,
        keyHash: World.keyHashOf(stream),
        capture: uuid(stream),
        conversation,
        proposed: "proposed",
        age: 0
      })
      const fields = {
        slug: "a-new-one",
        title: "T",
        description: "",
        visibility: "public",
        chatEnabled: true,
        slowModeSeconds: 0
      } as const
      const admin = { uid: "admin", isAdmin: true }
      const heartbeat = (n: number) => ({
        stream: n,
        broadcast: n,
        conversation: `c${n}`,
        capture: uuid(n),
        audioEnd: 1_760_000_000.5
      })
      const hundred = Array.from({ length: 100 }, (_, n) => n + 300)
      const figures = { bitrate: 1, listeners: 1, queued: 0, deferred: 0 }
      const always = () => true
      const works: Record<string, readonly [Effect.Effect<unknown, unknown>, number]> = {
        create: [streams.create("big", fields), 20],
        list: [streams.list("big", { before: undefined, limit: 101 }), 101],
        "list further": [streams.list("big", { before: filled - 3, limit: 101 }), 101],
        find: [streams.find("s400"), 1],
        findById: [streams.findById(400), 1],
        "find the one with many broadcasts": [streams.find("s501"), 1],
        update: [streams.update(admin, "s400", { slug: "other" }, always), 1],
        remove: [streams.remove(admin, "s501", always), 1],
        "remove a live one": [streams.remove(admin, "s400", always), 1],
        rotateKey: [streams.rotateKey(admin, "s400"), 1],
        "enter and resume": [broadcasts.enter(entry(400, "c400")), 1],
        "enter and start": [broadcasts.enter(entry(600, undefined)), 1],
        "end and start": [broadcasts.enter(entry(1, undefined)), 1],
        revoked: [broadcasts.revoked(hundred.map((stream) => ({ stream, keyHash: "AAAA" }))), 200],
        // It can be merged with the live broadcasts of all nodes.
        heartbeat: [broadcasts.heartbeat(hundred.map(heartbeat)), 500],
        writeAudioEnds: [broadcasts.writeAudioEnds(hundred.map(heartbeat)), 500],
        leave: [broadcasts.leave(heartbeat(400)), 1],
        sweep: [broadcasts.sweep, 50],
        write: [metrics.write(hundred.map((stream) => ({ stream, ...figures }))), 700],
        read: [metrics.read("s400"), 10],
        has: [erasure.has("big"), 1]
      }
      const found: Array<string> = []
      const explain = Effect.fnUntraced(function* (name: string, work: Effect.Effect<unknown, unknown>, most: number) {
        const statements = yield* Plans.statementsUndone(work)
        assert.isNotEmpty(statements, name)
        for (const statement of statements)
          for (const problem of yield* Plans.problemsOf(statement, most)) found.push(`${name}: ${problem}`)
      })
      for (const [name, [work, most]] of Object.entries(works)) yield* explain(name, work, most)
      yield* sql`update streams set uid = 'gone' where id = 501`
      yield* explain("erase", erasure.eraseOf("gone"), 1_001)
      assert.deepStrictEqual(found, [])
    })
  )
})

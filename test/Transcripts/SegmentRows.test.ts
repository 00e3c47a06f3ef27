/** Rows of transcripts on a real database: replacement, cost, bounds, deletion, and encryption. */
import { assert, it, layer } from "@effect/vitest"
import { ConfigProvider, Effect, Layer, Option, Schema } from "effect"
import { SqlClient } from "effect/sql"
import { Db } from "../../src/Db.ts"
import { Protection } from "../../src/Encryption.ts"
import { ProtectionConfig } from "../../src/Encryption/ProtectionConfig.ts"
import * as UsedSecrets from "../../src/Encryption/UsedSecrets.ts"
import type { LiveTranscript } from "../../src/Pusher/Live/Transcript.ts"
import { Erasure } from "../../src/Recording.ts"
import { maxSegments, SegmentRows } from "../../src/Transcripts/SegmentRows.ts"
import * as Postgres from "../support/Postgres.ts"

const protection = (env: Record<string, string>) =>
  Protection.layer.pipe(
    Layer.provide(Layer.fresh(ProtectionConfig.layer)),
    Layer.provide(ConfigProvider.layer(ConfigProvider.fromUnknown(env))),
    Layer.fresh
  )

const worldOf = (env: Record<string, string>) =>
  Layer.merge(Layer.fresh(SegmentRows.layer), Erasure.layer).pipe(
    Layer.provide(protection(env)),
    Layer.provideMerge(Postgres.layer)
  )

interface Said {
  readonly id: string
  readonly start: number
  readonly text: string
}

const message = (uid: string, conversation: string, said: ReadonlyArray<Said>, age = 0): LiveTranscript => ({
  uid,
  conversation,
  segments: said.map((each) => ({ id: each.id, start: each.start, json: JSON.stringify(each) })),
  chars: 0,
  receivedAt: Number(process.hrtime.bigint()) / 1e6 - age
})

const everything = { from: -Infinity, after: undefined, limit: 100_000 }

const textsOf = (rows: ReadonlyArray<{ readonly json: string }>) => rows.map(({ json }) => JSON.parse(json))

const SaidSchema = Schema.Struct({
  id: Schema.Literals(["a", "b", "c", "d", "e", "f"]),
  start: Schema.Literals([0, 0.5, 1, 2.25, 100, -3]),
  text: Schema.Literals(["good", "morning", '\u0000 {"\\', "ü€😀\ud800"])
})

layer(worldOf({}), { excludeTestServices: true })("Transcripts", (it) => {
  let runs = 0
  it.effect.prop(
    "keep the last version of each segment, by start, in whatever batches and how often they are written",
    {
      batches: Schema.Array(
        Schema.Array(Schema.Array(SaidSchema).check(Schema.isMaxLength(4))).check(Schema.isMaxLength(4))
      ).check(Schema.isMaxLength(6)),
      repeated: Schema.Boolean
    },
    Effect.fnUntraced(function* ({ batches, repeated }) {
      const rows = yield* SegmentRows
      const name = { uid: "prop", conversation: `c-${runs++}` }
      const last = new Map<string, Said>()
      for (const batch of batches) {
        const messages = batch.map((said) => message(name.uid, name.conversation, said))
        for (const said of batch.flat()) last.set(said.id, JSON.parse(JSON.stringify(said)))
        yield* rows.write(messages)
        if (!repeated) continue
        const before = yield* rows.page(name, everything)
        assert.deepStrictEqual(yield* rows.write(messages), { changed: 0, deleted: 0, full: 0 })
        assert.deepStrictEqual(yield* rows.page(name, everything), before)
      }
      const order = (a: Said, b: Said) => a.start - b.start || (a.id < b.id ? -1 : 1)
      const expected = [...last.values()].sort(order)
      const stored = yield* rows.page(name, everything)
      assert.deepStrictEqual(textsOf(stored), expected)
      // The changes, replayed from any revision, lead to the same transcript.
      const changes = yield* rows.changes(name, { since: 0, limit: 1_000 })
      assert.deepStrictEqual([...textsOf(changes)].sort(order), expected)
      assert.strictEqual(new Set(changes.map(({ revision }) => revision)).size, changes.length)
      // Pages of any size are the whole.
      const paged: Array<Said> = []
      let after: Said | undefined
      for (;;) {
        const page = textsOf(yield* rows.page(name, { from: -Infinity, after, limit: 2 }))
        if (page.length === 0) break
        paged.push(...page)
        after = page.at(-1)
      }
      assert.deepStrictEqual(paged, expected)
    }),
    { arbitrary: { runs: 40 } }
  )

  it.effect("read as many rows for a page of 50,000 segments as for one of 10", () =>
    Effect.gen(function* () {
      const [rows, sql, db] = [yield* SegmentRows, yield* SqlClient.SqlClient, yield* Db]
      const talk = (conversation: string, count: number) =>
        Effect.forEach(
          Array.from({ length: Math.ceil(count / 1_000) }, (_, page) => page * 1_000),
          (first) =>
            rows.write([
              message(
                "cost",
                conversation,
                Array.from({ length: Math.min(1_000, count) }, (_, n) => ({
                  id: `s${first + n}`,
                  start: first + n,
                  text: "x"
                }))
              )
            ])
        )
      yield* talk("short", 10)
      yield* talk("long", 50_000)
      // As autovacuum does within a minute: connections drop the plans that they cached while the table was small.
      yield* sql`analyze transcript_segments`
      const read = (
        conversation: string,
        query: (name: { uid: string; conversation: string }) => Effect.Effect<unknown, unknown>
      ) =>
        db.transaction("test", () =>
          Effect.gen(function* () {
            const counted = sql<{ readonly count: number }>`
              select (seq_tup_read + coalesce(idx_tup_fetch, 0))::int as count
              from pg_stat_xact_user_tables where relname = 'transcript_segments'`
            const [before] = yield* counted
            yield* Effect.orDie(query({ uid: "cost", conversation }))
            const [after] = yield* counted
            return (after?.count ?? 0) - (before?.count ?? 0)
          })
        )
      for (const from of [-Infinity, 5]) {
        const page = (name: { uid: string; conversation: string }) =>
          rows.page(name, { from, after: undefined, limit: 5 })
        for (const conversation of ["long", "short"]) assert.isAtMost(yield* read(conversation, page), 6)
      }
      const middle = yield* read("long", (name) =>
        rows.page(name, { from: -Infinity, after: { start: 30_000, id: "s30000" }, limit: 5 })
      )
      assert.isAtMost(middle, 6)
      for (const since of [0, 25_000, 49_990]) {
        const changed = yield* read("long", (name) => rows.changes(name, { since, limit: 5 }))
        assert.isAtMost(changed, 6, `${since}`)
      }
      assert.isAtMost(
        yield* read("long", (name) =>
          rows.write([message(name.uid, name.conversation, [{ id: "s7", start: 7, text: "y" }])])
        ),
        4
      )
    })
  )

  it.effect("take no new segments at their bound, and still change known ones", () =>
    Effect.gen(function* () {
      const [rows, sql] = [yield* SegmentRows, yield* SqlClient.SqlClient]
      const name = { uid: "full", conversation: "c" }
      const say = (id: string, text: string) => rows.write([message("full", "c", [{ id, start: 1, text }])])
      yield* say("a", "one")
      yield* sql`update transcripts set segments = ${maxSegments} where uid = 'full'`
      assert.deepStrictEqual(yield* say("b", "new"), { changed: 0, deleted: 0, full: 1 })
      assert.deepStrictEqual(yield* say("a", "two"), { changed: 1, deleted: 0, full: 0 })
      assert.deepStrictEqual(textsOf(yield* rows.page(name, everything)), [{ id: "a", start: 1, text: "two" }])
    })
  )

  it.effect("are deleted with their conversation, and not written again by what was received before", () =>
    Effect.gen(function* () {
      const [rows, erasure, sql] = [yield* SegmentRows, yield* Erasure, yield* SqlClient.SqlClient]
      const said = [{ id: "a", start: 1, text: "secret" }]
      yield* rows.write([message("ada", "gone", said), message("ada", "kept", said), message("eve", "gone", said)])
      yield* sql`insert into purges (id, uid, conversation_id, started_at) values (gen_random_uuid(), 'ada', 'gone', now())`
      assert.deepStrictEqual(yield* rows.write([message("ada", "gone", said)]), { changed: 0, deleted: 1, full: 0 })
      yield* erasure.eraseBatch({ uid: "ada", conversation: "gone" })
      const left = sql`
        select uid, conversation_id from transcript_segments where uid in ('ada', 'eve')
        union all select uid, conversation_id from transcripts where uid in ('ada', 'eve') order by 1, 2`
      const others = [
        { uid: "ada", conversation_id: "kept" },
        { uid: "ada", conversation_id: "kept" },
        { uid: "eve", conversation_id: "gone" },
        { uid: "eve", conversation_id: "gone" }
      ]
      assert.deepStrictEqual(yield* left, others)
      assert.isTrue(Option.isNone(yield* rows.revision({ uid: "ada", conversation: "gone" })))
      yield* sql`update purges set finished_at = now() where uid = 'ada'`
      const late = yield* rows.write([message("ada", "gone", said, 60_000), message("eve", "gone", said, 60_000)])
      assert.deepStrictEqual(late, { changed: 0, deleted: 1, full: 0 })
      assert.deepStrictEqual(yield* left, others)
      yield* Effect.sleep("5 millis")
      assert.strictEqual((yield* rows.write([message("ada", "gone", said)])).changed, 1)
      yield* erasure.eraseBatch({ uid: "ada", conversation: undefined })
      assert.deepStrictEqual(yield* left, others.slice(2))
    })
  )

  it.effect("are empty of a conversation that has none, and of another user's", () =>
    Effect.gen(function* () {
      const [rows, sql] = [yield* SegmentRows, yield* SqlClient.SqlClient]
      yield* sql`insert into conversations (uid, id) values ('mary', 'silent')`
      assert.deepStrictEqual(yield* rows.revision({ uid: "mary", conversation: "silent" }), Option.some(0))
      assert.isTrue(Option.isNone(yield* rows.revision({ uid: "eve", conversation: "silent" })))
    })
  )
})

const secret = Buffer.alloc(32, 5).toString("base64")

it.live("A transcript is encrypted in the database when audio is", () =>
  Effect.gen(function* () {
    const [rows, sql] = [yield* SegmentRows, yield* SqlClient.SqlClient]
    const name = { uid: "ada", conversation: "c" }
    const said = [{ id: "a", start: 1, text: "confidential" }]
    yield* rows.write([message("ada", "c", said)])
    yield* rows.write([message("ada", "c", said)])
    const [row] = yield* sql<{ readonly segment: string | null; readonly sealed: Uint8Array }>`
      select segment, sealed from transcript_segments`
    assert.isNull(row?.segment)
    assert.isFalse(Buffer.from(row?.sealed ?? []).includes("confidential"))
    assert.deepStrictEqual(textsOf(yield* rows.page(name, everything)), said)
    assert.deepStrictEqual(textsOf(yield* rows.changes(name, { since: 0, limit: 5 })), said)
  }).pipe(Effect.provide(worldOf({ SPILLWAY_PROTECTION: "enhanced", SPILLWAY_MASTER_SECRETS: secret })))
)

const ofUsers = (level: string) =>
  SegmentRows.layer.pipe(
    Layer.fresh,
    Layer.provideMerge(Layer.fresh(UsedSecrets.layer)),
    Layer.provide(Layer.fresh(ProtectionConfig.layer)),
    Layer.provide(
      ConfigProvider.layer(ConfigProvider.fromUnknown({ SPILLWAY_PROTECTION: level, SPILLWAY_MASTER_SECRETS: secret }))
    ),
    Layer.provideMerge(Postgres.layer)
  )

for (const [level, encrypted] of [
  ["standard", ["enh"]],
  ["enhanced", ["any", "enh"]]
] as const)
  it.live(`The transcripts of one batch are encrypted as their users want it, where the server says ${level}`, () =>
    Effect.gen(function* () {
      const [rows, sql] = [yield* SegmentRows, yield* SqlClient.SqlClient]
      yield* sql`insert into user_settings (uid, protection) values ('enh', 'enhanced'), ('std', 'standard')`
      const said = [{ id: "a", start: 1, text: "confidential" }]
      const users = ["any", "enh", "std"]
      yield* rows.write(users.map((uid) => message(uid, "c", said)))
      const stored = yield* sql<{ readonly uid: string; readonly isSealed: boolean }>`
        select uid, segment is null and sealed is not null as "isSealed" from transcript_segments order by uid`
      assert.deepStrictEqual(
        stored.filter(({ isSealed }) => isSealed).map(({ uid }) => uid),
        [...encrypted]
      )
      for (const uid of users)
        assert.deepStrictEqual(textsOf(yield* rows.page({ uid, conversation: "c" }, everything)), said)
      // A change of the setting applies to what is received from then on.
      yield* sql`update user_settings set protection = 'standard' where uid = 'enh'`
      yield* rows.write([message("enh", "c", said)])
      const [row] = yield* sql<{ readonly segment: string }>`select segment from transcript_segments where uid = 'enh'`
      assert.include(row?.segment, "confidential")
      assert.deepStrictEqual(textsOf(yield* rows.page({ uid: "enh", conversation: "c" }, everything)), said)
    }).pipe(Effect.provide(ofUsers(level)))
  )

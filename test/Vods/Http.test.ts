/** `/api/v1/studio/vods` of a real server. */
import { assert, layer } from "@effect/vitest"
import { type Answer, Studio, test } from "./support/Studio.ts"

const path = "/api/v1/studio/vods"
type World = Studio["Service"]

let last = 0

/** Stored as the janitor would, in minutes after an epoch. Returns the ids. */
const vods = async (
  { query }: World,
  uid: string,
  count: number,
  { minute = "n", status = "ready", stream = "0" }: { minute?: string; status?: string; stream?: string } = {}
): Promise<ReadonlyArray<string>> => {
  const from = last + 1
  last += count
  const rows = await query<{ readonly id: string }>(`
    insert into vods (uid, stream_id, broadcast_id, conversation_id, status, title, duration, started_at, created_at)
    select '${uid}', ${stream}, n, 'c' || n, '${status}', 'Talk ' || n, 100, now(),
           timestamptz '2026-01-01 00:00:00.123457Z' + ${minute} * interval '1 minute'
    from generate_series(${from}, ${last}) as n order by n returning id::text as id`)
  return rows.map(({ id }) => id)
}

const stream = async ({ call, query }: World, uid: string, key: string, slug: string, visibility = "public") => {
  const made = await call("POST", "/api/v1/studio/streams", { key, body: { slug, title: `On ${slug}`, visibility } })
  assert.strictEqual(made.status, 201)
  const [row] = await query<{ readonly id: string }>(`select id::text as id from streams where slug = '${slug}'`)
  return row?.id ?? assert.fail(uid)
}

const idsOf = (body: { vods: ReadonlyArray<{ id: string }> }) => body.vods.map(({ id }) => id)

layer(Studio.layer(), { excludeTestServices: true })("VODs", (it) => {
  it.effect("are listed newest first, with the same total on every page, also past the end", () =>
    test(async (world) => {
      const key = await world.keyOf("ada")
      await vods(world, "bob", 3)
      // The same time, so that ids decide.
      const ids = (await vods(world, "ada", 45, { minute: "7" })).toReversed()
      const seen: Array<string> = []
      for (const page of [1, 2, 3, 4, 9]) {
        const { body, status } = await world.call("GET", `${path}?page=${page}`, { key })
        assert.strictEqual(status, 200)
        const { cursor, has_more: hasMore, page: number, page_size: size, total } = body
        assert.deepStrictEqual([total, number, size, hasMore], [45, page, 20, page < 3])
        assert.strictEqual(cursor === null, page >= 3)
        seen.push(...idsOf(body))
      }
      assert.deepStrictEqual(seen, ids)
      const byCursor: Array<string> = []
      for (let cursor = ""; ;) {
        const { body } = await world.call("GET", `${path}?page_size=7${cursor}`, { key })
        assert.strictEqual(body.total, 45)
        byCursor.push(...idsOf(body))
        if (!body.has_more) break
        cursor = `&cursor=${body.cursor}`
      }
      assert.deepStrictEqual(byCursor, ids)
      const all = await world.call("GET", `${path}?page_size=100`)
      assert.isAtLeast(all.body.total, 48)
      const acting = await world.call("GET", `${path}?uid=ada`)
      assert.strictEqual(acting.body.total, 45)
    })
  )

  it.effect("are listed by status", () =>
    test(async (world) => {
      const key = await world.keyOf("cleo")
      const failed = await vods(world, "cleo", 2, { status: "failed" })
      await vods(world, "cleo", 3)
      const { body } = await world.call("GET", `${path}?status=failed`, { key })
      assert.deepStrictEqual([idsOf(body), body.total], [failed.toReversed(), 2])
    })
  )

  it.effect("answer mistakes with 400 and the field", () =>
    test(async ({ call }) => {
      for (const [query, field] of [
        ["page_size=0", "page_size"],
        ["page_size=-1", "page_size"],
        ["page_size=101", "page_size"],
        ["page_size=99999999999999999999", "page_size"],
        ["page_size=x", "page_size"],
        ["page=0", "page"],
        ["page=-3", "page"],
        ["page=1.5", "page"],
        ["page=99999999999999999999", "page"],
        ["page=501", "page"],
        ["status=done", "status"],
        ["cursor=abc", "cursor"],
        ["cursor=1-2&page=2", "cursor"],
        ["q=%20!", "q"],
        ["q=talk&page=2", "page"],
        [`q=${"x".repeat(201)}`, "q"]
      ]) {
        const { body, status } = await call("GET", `${path}?${query}`)
        assert.deepStrictEqual([status, body.errors?.[0]?.path], [400, ["query", field]], query)
      }
      const deep = await call("GET", `${path}?page=501`)
      assert.include(deep.body.detail, "cursor")
      assert.strictEqual((await call("GET", `${path}?page=500`)).status, 200)
      assert.strictEqual((await call("GET", `${path}/no-number`)).status, 400)
    })
  )

  it.effect("of another user are 404 in every way", () =>
    test(async (world) => {
      const [id = ""] = await vods(world, "dan", 1)
      const key = await world.keyOf("eve")
      const answers = await Promise.all([
        world.call("GET", `${path}/${id}`, { key }),
        world.call("PATCH", `${path}/${id}`, { key, body: { title: "Mine" } }),
        world.call("DELETE", `${path}/${id}`, { key }),
        world.call("POST", `${path}/${id}/restore`, { key }),
        world.call("POST", `${path}/${id}/retry`, { key }),
        world.call("GET", `${path}/${id}/analytics`, { key }),
        world.call("GET", `${path}/${id}/urls`, { key }),
        world.call("POST", `${path}/${id}/plays`, { key, body: { session: "s", seconds: 1 } }),
        world.call("GET", `${path}/999999999999`, { key })
      ])
      assert.deepStrictEqual(new Set(answers.map(({ status }) => status)), new Set([404]))
      assert.strictEqual((await world.call("GET", `${path}/${id}`)).body.title, `Talk ${last}`)
      assert.strictEqual((await world.call("GET", path, { key: null })).status, 401)
    })
  )

  it.effect("are changed by the version that the client has read", () =>
    test(async (world) => {
      const key = await world.keyOf("fay")
      const [id = ""] = await vods(world, "fay", 1)
      const patch = (body: object, etag?: string) =>
        world.call("PATCH", `${path}/${id}`, { key, body, headers: etag === undefined ? {} : { "if-match": etag } })
      const first = await world.call("GET", `${path}/${id}`, { key })
      const etag = first.headers.get("etag") ?? ""
      const changed = await patch({ title: "  A <b>new</b> title  ", description: "About it" }, etag)
      assert.deepStrictEqual(
        [changed.status, changed.body.title, changed.body.description],
        [200, "A <b>new</b> title", "About it"]
      )
      const late = await patch({ title: "Late" }, etag)
      assert.deepStrictEqual([late.status, late.body.type], [412, "urn:spillway:problem:vod-changed"])
      assert.strictEqual((await patch({ description: "" })).body.title, "A <b>new</b> title")
      for (const [body, field] of [
        [{ title: "" }, "title"],
        [{ title: "  " }, "title"],
        [{ title: "x".repeat(256) }, "title"],
        [{ title: "a\0b" }, "title"],
        [{ description: "x".repeat(5_001) }, "description"],
        [{ status: "ready" }, "status"]
      ] as const) {
        const answer = await patch(body)
        assert.deepStrictEqual([answer.status, answer.body.errors[0].path], [400, ["body", field]])
      }
      // Of several at once that have read the same version, one wins.
      const now = (await world.call("GET", `${path}/${id}`, { key })).headers.get("etag") ?? ""
      const racing = await Promise.all(Array.from({ length: 8 }, (_, n) => patch({ title: `Racer ${n}` }, now)))
      assert.deepStrictEqual(
        racing.map(({ status }) => status).toSorted((a, b) => a - b),
        [200, ...Array.from({ length: 7 }, () => 412)]
      )
    })
  )

  it.effect("are deleted, and restored for 30 days", () =>
    test(async (world) => {
      const key = await world.keyOf("gus")
      const [id = "", other = ""] = await vods(world, "gus", 2)
      const stale = await world.call("DELETE", `${path}/${id}`, { key, headers: { "if-match": '"7"' } })
      assert.strictEqual(stale.status, 412)
      const deleted = await world.call("DELETE", `${path}/${id}`, { key })
      assert.strictEqual(deleted.status, 200)
      const days = (Date.parse(deleted.body.purge_at) - Date.now()) / 86_400_000
      assert.closeTo(days, 30, 0.01)
      const list = async (query = "") => (await world.call("GET", `${path}${query}`, { key })).body
      assert.deepStrictEqual([idsOf(await list()), (await list()).total], [[other], 1])
      assert.deepStrictEqual([idsOf(await list("?status=deleted")), (await list("?status=deleted")).total], [[id], 1])
      assert.strictEqual((await world.call("GET", `${path}/${id}`, { key })).body.deleted_at !== null, true)
      const patched = await world.call("PATCH", `${path}/${id}`, { key, body: { title: "No" } })
      assert.deepStrictEqual([patched.status, patched.body.type], [409, "urn:spillway:problem:vod-deleted"])
      assert.strictEqual((await world.call("GET", `${path}/${id}/urls`, { key })).status, 404)
      const restored = await world.call("POST", `${path}/${id}/restore`, { key })
      assert.deepStrictEqual([restored.status, restored.body.deleted_at, restored.body.purge_at], [200, null, null])
      assert.strictEqual((await list()).total, 2)
      await world.call("DELETE", `${path}/${id}`, { key })
      await world.query(`update vods set is_purging = true where id = ${id}`)
      assert.strictEqual((await world.call("POST", `${path}/${id}/restore`, { key })).status, 404)
    })
  )

  it.effect("are found by the words of their titles and descriptions, without a total", () =>
    test(async (world) => {
      const key = await world.keyOf("hal")
      const ids = await vods(world, "hal", 25)
      await world.query(`update vods set title = 'Interview with Zoë' where id = ${ids[3]}`)
      await world.query(`update vods set description = 'An INTERVIEW: part two' where id in (${ids[9]}, ${ids[20]})`)
      const search = async (query: string) => (await world.call("GET", `${path}?${query}`, { key })).body
      const { cursor, total, ...first } = await search("q=interview&page_size=2")
      assert.deepStrictEqual([idsOf(first), total, first.has_more], [[ids[20], ids[9]], null, true])
      const second = await search(`q=interview&page_size=2&cursor=${cursor}`)
      assert.deepStrictEqual([idsOf(second), second.has_more, second.cursor], [[ids[3]], false, null])
      assert.deepStrictEqual(idsOf(await search("q=zo%C3%AB%20inter")), [ids[3]])
      assert.deepStrictEqual(idsOf(await search("q=interview%20part%20%26%20%7C%20'%3A*")), [ids[20], ids[9]])
      assert.deepStrictEqual(idsOf(await search("q=interview&status=failed")), [])
      // The owner's lexeme is no word.
      assert.deepStrictEqual(idsOf(await search("q=owner%20hal")), [])
      const eve = await world.keyOf("ivy")
      assert.deepStrictEqual((await world.call("GET", `${path}?q=interview`, { key: eve })).body.vods, [])
    })
  )

  it.effect("of a stream are for its readers, once they are ready", () =>
    test(async (world) => {
      const key = await world.keyOf("jan")
      const id = await stream(world, "jan", key, "jan-live")
      const ready = await vods(world, "jan", 3, { stream: id })
      await vods(world, "jan", 1, { stream: id, status: "pending" })
      const list = await world.call("GET", "/api/v1/studio/streams/jan-live/vods?page_size=2", { key: null })
      assert.deepStrictEqual([idsOf(list.body), list.body.has_more], [ready.slice(1).toReversed(), true])
      assert.deepStrictEqual(Object.keys(list.body.vods[0]).toSorted(), [
        "broadcast",
        "created_at",
        "description",
        "duration",
        "id",
        "started_at",
        "stream",
        "title"
      ])
      const hidden = await world.keyOf("kim")
      const secret = await stream(world, "kim", hidden, "kim-live", "private")
      const [vod = ""] = await vods(world, "kim", 1, { stream: secret })
      const answers = await Promise.all(
        [null, key].flatMap((by) => [
          world.call("GET", "/api/v1/studio/streams/kim-live/vods", { key: by }),
          world.call("GET", `${path}/${vod}/urls`, { key: by }),
          world.call("POST", `${path}/${vod}/plays`, { key: by, body: { session: "s", seconds: 1 } })
        ])
      )
      assert.strictEqual((await world.call("GET", "/api/v1/studio/streams/a%00b/vods", { key: null })).status, 404)
      assert.deepStrictEqual(new Set(answers.map(({ status }) => status)), new Set([404]))
      const own = await world.call("GET", "/api/v1/studio/streams/kim-live/vods", { key: hidden })
      assert.deepStrictEqual(idsOf(own.body), [vod])
    })
  )

  it.effect("count views, listeners and what was heard, once for each session", () =>
    test(async (world) => {
      const key = await world.keyOf("lou")
      const id = await stream(world, "lou", key, "lou-live")
      const [vod = ""] = await vods(world, "lou", 1, { stream: id })
      const play = (session: string, seconds: number, listener?: string) =>
        world.call("POST", `${path}/${vod}/plays`, {
          key: null,
          body: { session, seconds, ...(listener === undefined ? {} : { listener }) }
        })
      const reports = [
        await play("a", 30, "ann"),
        await play("a", 30, "ann"),
        await play("a", 20, "ann"),
        await play("b", 95, "ann"),
        await play("c", 5_000, "ben"),
        await play("d", 0)
      ]
      assert.deepStrictEqual(new Set(reports.map(({ status }) => status)), new Set([204]))
      await Promise.all(Array.from({ length: 20 }, () => play("e", 40, "cat")))
      const { body } = await world.call("GET", `${path}/${vod}/analytics`, { key })
      const { days, ...sums } = body
      // Of 100 seconds: 30, 95, 100 at most, 0 and 40.
      assert.deepStrictEqual(sums, { views: 5, unique_listeners: 4, watch_seconds: 265, completion: 2 / 5 })
      assert.strictEqual(days.length, 30)
      assert.deepStrictEqual(days.at(-1), { day: new Date().toISOString().slice(0, 10), ...sums })
      assert.deepStrictEqual(
        { ...days[0], day: "" },
        { day: "", views: 0, unique_listeners: 0, watch_seconds: 0, completion: null }
      )
      for (const [bad, field] of [
        [{ session: "s", seconds: -1 }, "seconds"],
        [{ session: "s".repeat(200), seconds: 1 }, "session"],
        [{ seconds: 1 }, "session"]
      ] as const) {
        const answer = await world.call("POST", `${path}/${vod}/plays`, { key: null, body: bad })
        assert.deepStrictEqual([answer.status, answer.body.errors[0].path], [400, ["body", field]])
      }
      // At the bound of the day, new sessions are not counted, and known ones are.
      await world.query(`update vod_days set views = 10000 where conversation_id = 'c${last}'`)
      await play("late", 50)
      await play("a", 31, "ann")
      const full = await world.call("GET", `${path}/${vod}/analytics`, { key })
      assert.deepStrictEqual([full.body.views, full.body.watch_seconds], [10_000, 266])
    })
  )

  it.effect("take 600 reports of plays a minute from an address without a key", () =>
    test(async (world) => {
      const key = await world.keyOf("nia")
      const [vod = ""] = await vods(world, "nia", 1)
      const report = (from: string, by: string | null = null) =>
        world.call("POST", `${path}/${vod}/plays`, {
          key: by,
          headers: { "x-forwarded-for": from },
          body: { session: "s", seconds: 1 }
        })
      const statuses: Array<number> = []
      // Its stream does not exist, so that visitors don't find it.
      while (statuses.length < 600)
        statuses.push(
          ...(await Promise.all(Array.from({ length: 50 }, () => report("198.51.100.7")))).map((a) => a.status)
        )
      const burst = await Promise.all(Array.from({ length: 100 }, () => report("198.51.100.7")))
      assert.deepStrictEqual(new Set(statuses), new Set([404]))
      const isTooMany = ({ body }: Answer) => body?.type === "urn:spillway:problem:too-many-plays"
      const rejected = burst.find(isTooMany) ?? assert.fail("one is rejected")
      assert.strictEqual(rejected.status, 429)
      assert.strictEqual(rejected.headers.get("retry-after"), "1")
      assert.strictEqual((await report("198.51.100.8")).status, 404)
      assert.strictEqual((await report("198.51.100.7", key)).status, 204)
    })
  )

  it.effect("are prepared again only if they have failed", () =>
    test(async (world) => {
      const key = await world.keyOf("mia")
      const [ready = ""] = await vods(world, "mia", 1)
      const refused = await world.call("POST", `${path}/${ready}/retry`, { key })
      assert.deepStrictEqual([refused.status, refused.body.type], [409, "urn:spillway:problem:vod-not-failed"])
      const [failed = ""] = await vods(world, "mia", 1, { status: "failed" })
      const retried = await world.call("POST", `${path}/${failed}/retry`, { key })
      assert.deepStrictEqual([retried.status, retried.body.status, retried.body.reason], [202, "pending", null])
      const jobs = await world.query(`select 1 from vod_jobs where vod_id = ${failed}`)
      assert.strictEqual(jobs.length, 1)
    })
  )
})

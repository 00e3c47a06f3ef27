/** `src/Vods` on real servers: one VOD of each broadcast, whichever nodes are killed, and its end with its recording. */
import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as Postgres from "../support/Postgres.ts"
import { audioFrame } from "../support/Capturer.ts"
import { openCaptureSocket } from "../support/CaptureSocket.ts"
import { epoch, type Nodes, rate, record, sound, until, World } from "../Precache/support/Nodes.ts"
import { random } from "../Recording/support/Arrivals.ts"
import { seed } from "../support/Seed.ts"

const path = "/api/v1/studio/vods"

const world = World.layer({
  STREAM_GRACE: "1 second",
  STREAM_HEARTBEAT: "200 millis",
  STREAM_SWEEP: "200 millis",
  SPILLWAY_WEBHOOK_ALLOW_HTTP: "yes",
  SPILLWAY_WEBHOOK_ALLOW_ADDRESSES: "127.0.0.1/32"
}).pipe(Layer.provide(Postgres.layerServer))

const test = (body: (nodes: Nodes) => Promise<void>) => World.use((nodes) => Effect.promise(() => body(nodes)))

const serverOf = ({ servers }: Nodes, at = 0) => servers[at] ?? assert.fail("it runs")

const call = async (nodes: Nodes, method: string, target: string, body?: object) => {
  const { key, url } = serverOf(nodes)
  const response = await fetch(url + target, {
    method,
    headers: { authorization: `Bearer ${key}`, ...(body === undefined ? {} : { "content-type": "application/json" }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) })
  })
  const text = await response.text()
  return { status: response.status, body: JSON.parse(text === "" ? "null" : text) }
}

const stream = (nodes: Nodes, slug: string) =>
  nodes.query(`insert into streams (uid, slug, title) values ('admin', '${slug}', 'On ${slug}')`)

/** Broadcasts of recorded conversations end now, in one transaction. `audioEnd`: Unix second at which their audio ends. */
const end = (nodes: Nodes, slug: string, conversations: ReadonlyArray<string>, audioEnd: number | null = null) =>
  nodes.query(`
    insert into broadcasts (stream_id, id, uid, conversation, ended_at, audio_end)
    select s.id, n, s.uid, c, now(), ${audioEnd} from streams s,
      unnest(array[${conversations.map((id) => `'${id}'`).join(",")}]) with ordinality as c(c, n) where slug = '${slug}'`)

interface Row {
  readonly id: string
  readonly conversation: string
  readonly status: string
  readonly reason: string | null
  readonly duration: number
}

const vods = (nodes: Nodes, slug: string) =>
  nodes.query<Row>(`
    select v.id::text as id, conversation_id as conversation, status, reason, duration from vods v
    join streams s on s.id = stream_id where slug = '${slug}' order by broadcast_id`)

const settled = (nodes: Nodes, slug: string, count: number) =>
  until(
    () => vods(nodes, slug),
    (all) => all.length >= count && all.every(({ status }) => status === "ready" || status === "failed")
  )

const counted = async (nodes: Nodes) => {
  const rows = await nodes.query(`
    select * from (select uid, state, sum(count)::int as n from vod_counts group by uid, state) as kept
    full join (
      select uid, state, count(*)::int as counted from vods group by uid, state
      union all select '', state, count(*)::int from vods group by state
    ) as c using (uid, state) where coalesce(n, 0) <> coalesce(counted, 0)`)
  assert.deepStrictEqual(rows, [])
}

layer(world, { excludeTestServices: true, timeout: 180_000 })("VODs", (it) => {
  it.effect("are ready once their audio is merged, and are played without a key", () =>
    test(async (nodes) => {
      await stream(nodes, "first")
      await record(nodes, serverOf(nodes), "talk", [{ at: 0, pcm: sound(rate * 2) }])
      await end(nodes, "first", ["talk", "silent"])
      // A broadcast without audio fails after a minute, which is over now.
      await until(
        () => vods(nodes, "first"),
        (all) => all.length === 2
      )
      await nodes.query(`update vod_jobs set begun_at = now() - interval '1 hour' where conversation_id = 'silent'`)
      const [talk, silent] = await settled(nodes, "first", 2)
      assert.deepStrictEqual([talk?.status, talk?.duration], ["ready", 2])
      assert.deepStrictEqual([silent?.status, silent?.reason], ["failed", "no_audio"])
      const merged = await nodes.query(`select 1 from artifacts where conversation_id = 'talk' and key is not null`)
      assert.strictEqual(merged.length, 1)
      const response = await fetch(`${serverOf(nodes, 1).url}${path}/${talk?.id}/urls`)
      assert.strictEqual(response.headers.get("cache-control"), "private, no-store")
      const urls = JSON.parse(await response.text())
      const left = (Date.parse(urls.expires_at) - Date.now()) / 60_000
      assert.isTrue(left > 59 && left <= 60, String(left))
      // From the store itself.
      assert.isTrue(urls.url.startsWith(nodes.gcs.url), urls.url)
      const audio = Buffer.from(await (await fetch(urls.url)).arrayBuffer())
      assert.isTrue(audio.subarray(44).equals(sound(rate * 2)))
      // Prepared again, it fails again.
      const retried = await call(nodes, "POST", `${path}/${silent?.id}/retry`)
      assert.deepStrictEqual([retried.status, retried.body.status], [202, "pending"])
    })
  )

  it.effect("wait for audio that a node has recorded and not uploaded yet, for an hour", () =>
    test(async (nodes) => {
      await stream(nodes, "late")
      for (const name of ["late", "lost"]) await record(nodes, serverOf(nodes), name, [{ at: 0, pcm: sound(rate * 2) }])
      await end(nodes, "late", ["late", "lost"], epoch + 4)
      const dues = new Set<string>()
      const jobs = () =>
        nodes.query<{ readonly due: string }>(`
          select due_at::text as due from vod_jobs where conversation_id in ('late', 'lost')`)
      await until(jobs, (all) => {
        for (const { due } of all) dues.add(due)
        // Both are postponed again and again, each time with a lease before it.
        return dues.size > 12
      })
      assert.deepStrictEqual(
        (await vods(nodes, "late")).map(({ status }) => status),
        ["processing", "processing"]
      )
      await record(nodes, serverOf(nodes), "late", [{ at: 2, pcm: sound(rate * 2) }])
      await nodes.query(`update vod_jobs set begun_at = now() - interval '1 hour' where conversation_id = 'lost'`)
      assert.deepStrictEqual(
        (await settled(nodes, "late", 2)).map(({ duration, status }) => [status, duration]),
        [
          ["ready", 4],
          ["ready", 2]
        ]
      )
    })
  )

  it.effect("exist once for each broadcast, with one event, while nodes are killed", () =>
    test(async (nodes) => {
      const next = random(seed)
      const made = await call(nodes, "POST", "/v1/webhooks", {
        url: "http://127.0.0.1:1099/hook",
        types: ["vod.ready"]
      })
      assert.strictEqual(made.status, 201)
      await stream(nodes, "killed")
      const names = Array.from({ length: 8 }, (_, n) => `part-${n}`)
      await Promise.all(
        names.map((name, n) => record(nodes, serverOf(nodes, n % 2), name, [{ at: 0, pcm: sound(rate, n) }]))
      )
      await end(nodes, "killed", names)
      for (let kill = 0; kill < 4; kill++) {
        await new Promise((resolve) => setTimeout(resolve, next() * 1_500))
        const victim = serverOf(nodes, kill % 2)
        await victim.kill()
        await nodes.restart(victim)
      }
      const all = await settled(nodes, "killed", names.length)
      assert.deepStrictEqual(
        all.map(({ conversation, duration, status }) => [conversation, status, duration]),
        names.map((name) => [name, "ready", 1])
      )
      const events = await nodes.query<{ readonly id: string }>(
        `select body::json -> 'data' ->> 'vod_id' as id from events where type = 'vod.ready' order by id`
      )
      assert.deepStrictEqual(
        events.map(({ id }) => id),
        all.map(({ id }) => id).toSorted()
      )
      assert.deepStrictEqual(await nodes.query(`select 1 from vod_jobs where uid = 'admin' and due_at is null`), [])
      await counted(nodes)
    })
  )

  it.effect(
    "of a capture are announced once, with exactly the samples that it sent, and the chat of the broadcast",
    () =>
      test(async (nodes) => {
        const types = ["stream.started", "stream.ended", "vod.ready"]
        const hook = await call(nodes, "POST", "/v1/webhooks", { url: "http://127.0.0.1:1099/all", types })
        assert.strictEqual(hook.status, 201)
        const streams = "/api/v1/studio/streams"
        const { body: made } = await call(nodes, "POST", streams, { slug: "on-air", title: "On air" })
        const query = `?sample_rate=${rate}&audio_timeline=2&ack=1`
        const capture = await openCaptureSocket(serverOf(nodes), { key: made.key, query })
        const pcm = sound(rate * 3, 5)
        for (const n of [0, 1, 2])
          capture.socket.send(audioFrame(epoch + n, pcm.subarray(n * rate * 2, (n + 1) * rate * 2)))
        await capture.acknowledged(pcm.length)
        const { body: live } = await until(
          () => call(nodes, "GET", `${streams}/on-air`),
          ({ body }) => body.live !== null
        )
        const messages = `${streams}/on-air/chat/messages`
        assert.strictEqual((await call(nodes, "POST", messages, { text: "hello" })).status, 201)
        capture.socket.close()
        const listed = async () =>
          JSON.parse(await (await fetch(`${serverOf(nodes, 1).url}${streams}/on-air/vods`)).text())
        const { vods: list } = await until(listed, (page) => page.vods.length > 0)
        const [vod] = list
        assert.deepInclude(vod, { stream: "on-air", broadcast: 1, title: "On air", duration: 3 })
        const ends = await nodes.query(`
          select audio_end as "end" from broadcasts b join streams s on s.id = stream_id where slug = 'on-air'`)
        assert.deepStrictEqual(ends, [{ end: epoch + 3 }])
        assert.strictEqual(list.length, 1)
        const managed = await call(nodes, "GET", `${path}/${vod.id}`)
        assert.deepInclude(managed.body, { status: "ready", conversation_id: live.live.conversation_id })
        const { body: urls } = await call(nodes, "GET", `${path}/${vod.id}/urls`)
        for (const url of [urls.url, ...urls.files.map((file: { url: string }) => file.url)]) {
          const audio = Buffer.from(await (await fetch(url)).arrayBuffer())
          assert.isTrue(audio.subarray(44).equals(pcm), url)
        }
        const { body: chat } = await call(nodes, "GET", `${messages}?broadcast=1`)
        assert.deepStrictEqual(
          chat.messages.map(({ broadcast_id, text }: Record<string, unknown>) => [broadcast_id, text]),
          [[1, "hello"]]
        )
        const events = await nodes.query(`
        select type from events where body::json -> 'data' ->> 'conversation_id' = '${live.live.conversation_id}' order by id`)
        assert.deepStrictEqual(
          events,
          types.map((type) => ({ type }))
        )
      })
  )

  it.effect("are purged with their recording 30 days after their deletion, whichever node is killed", () =>
    test(async (nodes) => {
      await stream(nodes, "old")
      // Captures have chosen one conversation for several broadcasts.
      const names = ["old-1", "old-2", "shared", "pair", "again"]
      await Promise.all(
        names.map((name, n) => record(nodes, serverOf(nodes, n % 2), name, [{ at: 0, pcm: sound(rate) }]))
      )
      await end(nodes, "old", [...names, "shared", "pair"])
      const all = await settled(nodes, "old", 7)
      await stream(nodes, "old-live")
      await nodes.query(`
        insert into broadcasts (stream_id, id, uid, conversation, seen_at)
        select id, 1, uid, 'again', now() + interval '1 hour' from streams where slug = 'old-live'`)
      const idOf = (at: number) => all[at]?.id ?? ""
      for (const at of [0, 2, 3, 4, 6]) await call(nodes, "DELETE", `${path}/${idOf(at)}`)
      await nodes.query(`update vods set purge_at = now() where purge_at is not null and id <> ${idOf(6)}`)
      await serverOf(nodes, 1).kill()
      // Their search for deleted VODs begins with their start.
      await nodes.restart(serverOf(nodes, 1))
      const left = await until(
        () => vods(nodes, "old"),
        ({ length }) => length <= 3
      )
      assert.deepStrictEqual(
        left.map(({ id }) => id),
        [idOf(1), idOf(5), idOf(6)]
      )
      await until(
        () => nodes.keys("chunks/admin/old-1/"),
        (keys) => keys.length === 0
      )
      // Another VOD, one that can be restored, or a live broadcast has the same recording.
      const purges = await nodes.query(`select conversation_id as conversation from purges order by 1`)
      assert.deepStrictEqual(purges, [{ conversation: "old-1" }])
      for (const name of ["old-2", "shared", "pair", "again"])
        assert.isAbove(nodes.keys(`chunks/admin/${name}/`).length, 0, name)
      assert.strictEqual((await call(nodes, "POST", `${path}/${idOf(6)}/restore`)).status, 200)
      await counted(nodes)
    })
  )

  it.effect("are gone with their conversation and their account, and so is what was played of them", () =>
    test(async (nodes) => {
      await stream(nodes, "gone")
      const names = ["gone-1", "gone-2"]
      for (const name of names) await record(nodes, serverOf(nodes), name, [{ at: 0, pcm: sound(rate) }])
      await end(nodes, "gone", names)
      const [first, second] = await settled(nodes, "gone", 2)
      for (const vod of [first, second])
        assert.strictEqual(
          (await call(nodes, "POST", `${path}/${vod?.id}/plays`, { session: "s", seconds: 1 })).status,
          204
        )
      assert.strictEqual((await call(nodes, "DELETE", "/v1/conversations/gone-1")).status, 202)
      await until(
        () => vods(nodes, "gone"),
        (all) => all.length === 1
      )
      const rowsOf = (name: string) =>
        nodes.query(`
          select 1 from vod_plays where conversation_id = '${name}' union all
          select 1 from vod_days where conversation_id = '${name}'`)
      assert.deepStrictEqual(await rowsOf("gone-1"), [])
      assert.strictEqual((await rowsOf("gone-2")).length, 2)
      await counted(nodes)
      assert.strictEqual((await call(nodes, "DELETE", "/v1/users/admin")).status, 202)
      await until(
        () => nodes.query(`select 1 from vods union all select 1 from vod_plays union all select 1 from vod_days`),
        (rows) => rows.length === 0
      )
      await until(
        () => nodes.query(`select 1 from vod_counts where uid = 'admin'`),
        (rows) => rows.length === 0
      )
      await counted(nodes)
    })
  )
})

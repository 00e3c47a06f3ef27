/** `src/Precache` on real servers: one database, a bucket that composes, and nodes that are killed. */
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { OpusPacket } from "../../src/Audio.ts"
import * as OpusTone from "../Recording/support/OpusTone.ts"
import { stream } from "../support/Capturer.ts"
import { parse } from "../support/OggFiles.ts"
import * as Postgres from "../support/Postgres.ts"
import { artifacts, bucket, call, epoch, type Nodes, rate, record, sound, until, World } from "./support/Nodes.ts"

/** The temporary objects of a killed merge are deleted soon, and no merge lasts longer. */
const world = World.layer({ PRECACHE_TEMPORARY: "15 seconds", PRECACHE_DEADLINE: "10 seconds" }).pipe(
  Layer.provide(Postgres.layerServer)
)

const Files = Schema.Array(
  Schema.Struct({
    status: Schema.String,
    signed_url: Schema.String,
    artifact: Schema.optionalKey(Schema.Struct({ state: Schema.String }))
  })
)

const test = (body: (nodes: Nodes) => Promise<void>) => World.use((nodes) => Effect.promise(() => body(nodes)))

const serverOf = ({ servers }: Nodes, at = 0) => servers.at(at) ?? assert.fail("it runs")

const precache = (nodes: Nodes, conversation: string, at = 0) =>
  call(serverOf(nodes, at), "POST", `/v1/sync/audio/${conversation}/precache`)

/** Waits until nothing is to be merged, and returns the only artifact. */
const merged = async (nodes: Nodes, conversation: string) => {
  const rows = await until(
    () => artifacts(nodes, conversation),
    (all) => all.every(({ isWanted }) => !isWanted)
  )
  const [row, ...more] = rows
  assert.deepStrictEqual(more, [])
  if (row === undefined || row.key === null) return assert.fail(JSON.stringify(rows))
  return { ...row, key: row.key, object: nodes.gcs.objects.get(bucket, row.key, new URLSearchParams()) }
}

/** Of the only audio file. */
const urlsOf = async (nodes: Nodes, conversation: string, format: string) => {
  const answer = await call(serverOf(nodes), "GET", `/v1/sync/audio/${conversation}/urls?format=${format}`)
  const [file] = Schema.decodeUnknownSync(Files)(answer.json()["audio_files"])
  return file ?? assert.fail("one file")
}

const audioOf = (nodes: Nodes, conversation: string, file: string) =>
  call(serverOf(nodes), "GET", `/v1/sync/audio/${conversation}/${file}`)

layer(world, { excludeTestServices: true, timeout: 180_000 })("precache", (it) => {
  it.effect("composes an audio file inside the store without reading audio", () =>
    test(async (nodes) => {
      const first = Array.from({ length: 40 }, (_, n) => ({ at: n, pcm: sound(rate, n) }))
      await record(nodes, serverOf(nodes), "long", [...first, { at: 60, pcm: sound(rate, 60) }])
      nodes.gcs.seen.length = 0
      const started = await precache(nodes, "long")
      assert.deepStrictEqual([started.status, started.json()], [200, { status: "started", audio_file_count: 1 }])
      const { file, key, object } = await merged(nodes, "long")
      assert.strictEqual(nodes.gcs.count("media"), 0)
      const whole = await audioOf(nodes, "long", file)
      assert.strictEqual(whole.body.length, 44 + 61 * rate * 2)
      assert.isTrue(object.bytes.equals(whole.body))
      assert.strictEqual(object.contentType, "audio/wav")
      const left = Date.parse(object.metadata["expires_at"] ?? "") - Date.now()
      assert.closeTo(left / 3_600_000, 72, 0.1)
      await until(
        () => nodes.keys("merged/admin/long/"),
        (keys) => keys.length === 1 && keys[0] === key
      )
    })
  )

  it.effect("hands out the store's own URL of a merged file, until its audio changes", () =>
    test(async (nodes) => {
      const urls = () => urlsOf(nodes, "linked", "wav")
      await record(nodes, serverOf(nodes), "linked", [{ at: 0, pcm: sound(rate * 2) }])
      assert.isTrue((await urls()).signed_url.startsWith(serverOf(nodes).url))
      await precache(nodes, "linked")
      const { key, object } = await merged(nodes, "linked")
      const linked = await urls()
      assert.deepStrictEqual([linked.status, linked.artifact], ["cached", { state: "merged" }])
      assert.isTrue(linked.signed_url.startsWith(`${nodes.gcs.url}/${bucket}/${key}?`), linked.signed_url)
      // Without a key.
      const response = await fetch(linked.signed_url, { headers: { range: "bytes=40-999" } })
      assert.strictEqual(response.status, 206)
      assert.isTrue(object.bytes.subarray(40, 1_000).equals(Buffer.from(await response.arrayBuffer())))
      const again = await precache(nodes, "linked", 1)
      assert.strictEqual(again.status, 200)
      assert.isTrue((await artifacts(nodes, "linked")).every(({ isWanted }) => !isWanted))
      await record(nodes, serverOf(nodes), "linked", [{ at: 2, pcm: sound(rate, 2) }])
      const stale = await urls()
      assert.isTrue(stale.signed_url.startsWith(serverOf(nodes).url))
      assert.isUndefined(stale.artifact)
    })
  )

  it.effect("merges once for a hundred simultaneous requests on two nodes", () =>
    test(async (nodes) => {
      await record(nodes, serverOf(nodes), "many", [{ at: 0, pcm: sound(rate * 3) }])
      nodes.gcs.seen.length = 0
      const all = await Promise.all(Array.from({ length: 100 }, (_, n) => precache(nodes, "many", n % 2)))
      assert.deepStrictEqual(new Set(all.map(({ status }) => status)), new Set([200]))
      const { file, object } = await merged(nodes, "many")
      assert.isTrue(object.bytes.equals((await audioOf(nodes, "many", file)).body))
      const composes = nodes.gcs.seen.filter(
        ({ operation, target }) => operation === "compose" && target.includes("many")
      )
      assert.strictEqual(composes.length, 1)
    })
  )

  it.effect("makes an Ogg artifact of an Opus conversation, with the ranges that the audio route has not", () =>
    test(async (nodes) => {
      const packets = OpusTone.packets
      await stream(
        {
          conversation: "spoken",
          start: epoch,
          sampleRate: OpusTone.sampleRate,
          codec: "opus",
          pcm: Buffer.from(OpusPacket.join(packets))
        },
        { server: () => serverOf(nodes), speed: 100 }
      )
      await until(
        () => nodes.query("select from chunks where conversation_id = 'spoken'"),
        (rows) => rows.length > 0
      )
      const started = await call(serverOf(nodes), "POST", "/v1/sync/audio/spoken/precache?format=ogg")
      assert.deepStrictEqual(started.json(), { status: "started", audio_file_count: 1 })
      const { file, key, object } = await merged(nodes, "spoken")
      assert.match(key, /\.ogg$/)
      assert.strictEqual(object.contentType, "audio/ogg; codecs=opus")
      const live = await audioOf(nodes, "spoken", `${file}?format=ogg`)
      assert.isTrue(object.bytes.equals(live.body))
      assert.isTrue(Buffer.concat(parse(object.bytes).packets).includes(Buffer.concat(packets)))
      const linked = await urlsOf(nodes, "spoken", "ogg")
      assert.deepStrictEqual([linked.status, linked.artifact], ["cached", { state: "merged" }])
      assert.isTrue(linked.signed_url.startsWith(`${nodes.gcs.url}/${bucket}/${key}?`), linked.signed_url)
      const part = await fetch(linked.signed_url, { headers: { range: "bytes=40-199" } })
      assert.strictEqual(part.status, 206)
      assert.isTrue(Buffer.from(await part.arrayBuffer()).equals(live.body.subarray(40, 200)))
      // The WAV of the same file is not merged.
      const asWav = await urlsOf(nodes, "spoken", "wav")
      assert.isUndefined(asWav.artifact)
      assert.isTrue(asWav.signed_url.startsWith(serverOf(nodes).url))
    })
  )

  it.effect("rejects a format that is not merged", () =>
    test(async (nodes) => {
      const { status } = await call(serverOf(nodes), "POST", "/v1/sync/audio/spoken/precache?format=mp3")
      assert.strictEqual(status, 400)
    })
  )

  it.effect("rejects conversations that are not the caller's, and has none without audio", () =>
    test(async (nodes) => {
      assert.strictEqual((await precache(nodes, "nothing")).status, 404)
      await record(nodes, serverOf(nodes), "mine", [{ at: 0, pcm: sound(rate) }])
      const created = await fetch(`${serverOf(nodes).url}/v1/keys`, {
        method: "POST",
        headers: { authorization: `Bearer ${serverOf(nodes).key}`, "content-type": "application/json" },
        body: JSON.stringify({ uid: "grace" })
      })
      const { key }: { readonly key: string } = JSON.parse(await created.text())
      const other = { url: serverOf(nodes).url, key }
      assert.strictEqual((await call(other, "POST", "/v1/sync/audio/mine/precache")).status, 404)
      assert.deepStrictEqual(await artifacts(nodes, "mine"), [])
      await nodes.query("insert into conversations (uid, id) values ('admin', 'silent')")
      const silent = await precache(nodes, "silent")
      assert.deepStrictEqual([silent.status, silent.json()["status"]], [200, "no_audio"])
    })
  )

  it.effect("ends a merge of a conversation that is deleted, and leaves no object", () =>
    test(async (nodes) => {
      await record(nodes, serverOf(nodes), "gone", [{ at: 0, pcm: sound(rate) }])
      const used = nodes.gcs.faults.used
      nodes.gcs.faults.add({
        operation: "compose",
        contains: "merged/admin/gone",
        times: 1_000,
        fault: { kind: "stall" }
      })
      await precache(nodes, "gone")
      await until(
        () => nodes.gcs.faults.used,
        (now) => now > used
      )
      const job = (await call(serverOf(nodes), "DELETE", "/v1/conversations/gone")).json()["job_id"]
      await until(
        async () => (await call(serverOf(nodes), "GET", `/v1/deletions/${String(job)}`)).json()["status"],
        (status) => status === "done"
      )
      nodes.gcs.faults.clear()
      assert.deepStrictEqual(await artifacts(nodes, "gone"), [])
      assert.deepStrictEqual(nodes.keys("merged/admin/gone/"), [])
      // Whatever the merge may still have put is deleted within an hour.
      const [row] = await nodes.query<{ readonly late: number }>(
        "select count(*)::int as late from tombstones where key like 'merged/admin/gone/%' and due_at > now() + interval '1 hour'"
      )
      assert.strictEqual(row?.late, 0)
    })
  )

  it.effect("leaves nothing visible when its node is killed, and another one merges soon", () =>
    test(async (nodes) => {
      await record(nodes, serverOf(nodes), "killed", [{ at: 0, pcm: sound(rate) }])
      const used = nodes.gcs.faults.used
      nodes.gcs.faults.add({ operation: "compose", contains: "merged/admin/killed", fault: { kind: "stall" } })
      await precache(nodes, "killed")
      await until(
        () => nodes.gcs.faults.used,
        (now) => now > used
      )
      const [row] = await artifacts(nodes, "killed")
      assert.deepStrictEqual([row?.key, row?.isWanted], [null, true])
      // Either one may have claimed it.
      await Promise.all(nodes.servers.map((server) => server.kill()))
      nodes.servers.length = 0
      const [left] = nodes.keys("merged/admin/killed/")
      assert.match(left ?? "", /\.part$/)
      await nodes.start()
      const began = performance.now()
      const { file, key, object } = await merged(nodes, "killed")
      assert.isBelow(performance.now() - began, 60_000)
      assert.isTrue(object.bytes.equals((await audioOf(nodes, "killed", file)).body))
      // Objects were made known before they were made.
      const known = await nodes.query<{ readonly key: string }>(
        "select key from tombstones where key like 'merged/admin/killed/%.wav'"
      )
      assert.strictEqual(known.length, 2)
      await until(
        () => nodes.keys("merged/admin/killed/"),
        (keys) => keys.length === 1 && keys[0] === key
      )
    })
  )
})

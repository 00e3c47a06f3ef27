/** `src/SpeakerSamples` on real servers: what 105 does, with one database, a bucket, and nodes that are killed. */
import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { call, epoch, type Nodes, rate, sound, until, World } from "../Precache/support/Nodes.ts"
import { audioFrame, switchTo } from "../support/Capturer.ts"
import { type CaptureSocket, openCaptureSocket } from "../support/CaptureSocket.ts"
import * as Postgres from "../support/Postgres.ts"
import type { Server } from "../support/Server.ts"

const env = {
  SPEAKER_SAMPLE_DELAY: "1 second",
  SPEAKER_SAMPLE_RECHECK: "500 millis",
  SPEAKER_SAMPLE_PATIENCE: "6 seconds",
  SPILLWAY_MASTER_SECRETS: Buffer.alloc(32, 7).toString("base64")
}
const world = (count: number) => World.layer(env, count).pipe(Layer.provide(Postgres.layerServer))

const test = (body: (nodes: Nodes) => Promise<void>) => World.use((nodes) => Effect.promise(() => body(nodes)))

const first = ({ servers }: Nodes): Server => servers[0] ?? assert.fail("it runs")

const message = (opcode: number, json: unknown) => {
  const head = Buffer.alloc(4)
  head.writeUInt32LE(opcode)
  return Buffer.concat([head, Buffer.from(JSON.stringify(json))])
}

const segment = (id: string, start: number, end: number) => ({ id, start, end, text: id, speaker: "SPEAKER_01" })

const request = (ids: ReadonlyArray<string>, person = "bob", conversation = "talk") =>
  message(105, { person_id: person, conversation_id: conversation, segment_ids: ids })

const open = (server: Server, uid: string) =>
  openCaptureSocket(server, { query: `?ack=1&audio_timeline=2&sample_rate=${rate}&uid=${uid}` })

const audio = sound(rate * 6)
const bytesOf = (from: number, to: number) => audio.subarray(from * rate * 2, to * rate * 2)

/** Six seconds of audio, and the segments a (1 to 2 s) and b (3 to 4.5 s). */
const talk = async (nodes: Nodes, server: Server, uid: string): Promise<CaptureSocket> => {
  const socket = await open(server, uid)
  socket.socket.send(switchTo("talk"))
  socket.socket.send(audioFrame(epoch, audio))
  socket.socket.send(message(102, { memory_id: "talk", segments: [segment("a", 1, 2), segment("b", 3, 4.5)] }))
  await socket.acknowledged(audio.length)
  await until(
    () => nodes.query(`select 1 from transcript_segments where uid = '${uid}'`),
    (rows) => rows.length === 2
  )
  return socket
}

interface Listed {
  readonly id: string
  readonly person_id: string
  readonly status: string
  readonly reason: string | null
  readonly duration: number | null
  readonly bytes: number | null
}

const list = async (server: Server, uid: string, query = ""): Promise<ReadonlyArray<Listed>> => {
  const { samples } = (await call(server, "GET", `/v1/users/${uid}/speaker-samples?limit=100${query}`)).json()
  return Array.isArray(samples) ? samples : assert.fail("a list")
}

const settled = (server: Server, uid: string, count = 1) =>
  until(
    () => list(server, uid),
    (samples) => samples.length >= count && samples.every(({ status }) => status !== "waiting")
  )

const play = (server: Server, uid: string, id = "") => call(server, "GET", `/v1/users/${uid}/speaker-samples/${id}`)

const wavOf = async (server: Server, uid: string) => {
  const [sample] = await settled(server, uid)
  assert.deepInclude(sample, { status: "stored", reason: null })
  return (await play(server, uid, sample?.id)).body
}

/** The samples of a and b. */
const expected = Buffer.concat([bytesOf(1, 2), bytesOf(3, 4.5)])

layer(world(2), { excludeTestServices: true, timeout: 180_000 })("105", (it) => {
  it.effect(
    "stores what the segments have as one WAV file at its key, after its delay, once however often it is asked",
    () =>
      test(async (nodes) => {
        const server = first(nodes)
        const socket = await talk(nodes, server, "ada")
        for (const ids of [
          ["a", "b"],
          ["b", "a"],
          ["a", "b", "b"]
        ])
          socket.socket.send(request(ids))
        const [row] = await until(
          () =>
            nodes.query<{ readonly delay: number; readonly key: string | null }>(
              `select extract(epoch from due_at - requested_at)::float8 as delay, key from speaker_samples where uid = 'ada'`
            ),
          (rows) => rows.length > 0
        )
        assert.deepStrictEqual(row, { delay: 1, key: null }, "the delay of this test")
        const samples = await settled(server, "ada")
        assert.lengthOf(samples, 1)
        assert.deepInclude(samples[0], {
          person_id: "bob",
          status: "stored",
          duration: 2.5,
          bytes: 44 + expected.length
        })
        const { body } = await play(server, "ada", samples[0]?.id)
        assert.strictEqual(body.toString("latin1", 0, 4), "RIFF")
        assert.isTrue(body.subarray(44).equals(expected))
        const keys = nodes.keys("ada/")
        assert.match(keys.join(), /^ada\/people_profiles\/bob\/[0-9a-f-]{36}\.wav$/)
        assert.isTrue(
          nodes.gcs.objects
            .bucket("audio")
            .get(keys[0] ?? "")
            ?.bytes.equals(body)
        )
        assert.lengthOf(await nodes.query(`select 1 from tombstones where uid = 'ada'`), 0)
        socket.socket.send(request(["a", "b"]))
        await until(
          async () => (await call(server, "GET", "/metrics")).body.toString(),
          (text) => /^spillway_speaker_sample_requests_total\{result="repeated"\} [3-9]/m.test(text)
        )
        assert.lengthOf(await list(server, "ada", "&person=bob"), 1)
        assert.lengthOf(await list(server, "ada", "&person=eve"), 0)
        assert.strictEqual((await play(server, "eve", samples[0]?.id)).status, 404)
        socket.socket.close()
      })
  )

  it.effect("encrypts the sample of a user whose protection is enhanced", () =>
    test(async (nodes) => {
      const server = first(nodes)
      await nodes.query(`insert into user_settings (uid, protection) values ('enh', 'enhanced')`)
      const socket = await talk(nodes, server, "enh")
      socket.socket.send(request(["a", "b"]))
      const wav = await wavOf(server, "enh")
      assert.isTrue(wav.subarray(44).equals(expected))
      const [key = ""] = nodes.keys("enh/")
      const stored = nodes.gcs.objects.bucket("audio").get(key)?.bytes ?? Buffer.alloc(0)
      assert.isAbove(stored.length, wav.length)
      assert.strictEqual(stored.indexOf(expected.subarray(0, 32)), -1)
      socket.socket.close()
    })
  )

  it.effect("is ignored and counted when it is incomplete", () =>
    test(async (nodes) => {
      const server = first(nodes)
      const socket = await open(server, "incomplete")
      const ignored = async () => {
        const text = (await call(server, "GET", "/metrics")).body.toString()
        return Number(/^spillway_messages_ignored_total (\d+)/m.exec(text)?.[1] ?? 0)
      }
      const before = await ignored()
      const whole = { person_id: "bob", conversation_id: "talk", segment_ids: ["a"] }
      const unusable = [
        {},
        { ...whole, person_id: null },
        { ...whole, conversation_id: undefined },
        { ...whole, segment_ids: [] },
        { ...whole, segment_ids: [1] },
        { ...whole, person_id: "../eve" },
        { ...whole, segment_ids: Array.from({ length: 1_001 }, (_, n) => String(n)) }
      ]
      for (const each of unusable) socket.socket.send(message(105, each))
      await until(ignored, (count) => count >= before + unusable.length)
      assert.lengthOf(await nodes.query(`select 1 from speaker_samples where uid = 'incomplete'`), 0)
      socket.socket.close()
    })
  )

  it.effect("waits for a transcript that comes later, and says what was missing in the end", () =>
    test(async (nodes) => {
      const server = first(nodes)
      const socket = await open(server, "late")
      socket.socket.send(switchTo("talk"))
      socket.socket.send(audioFrame(epoch, audio))
      await socket.acknowledged(audio.length)
      for (const each of [
        request(["a", "b"]),
        request(["none"], "nobody"),
        request(["a"], "nowhere", "other"),
        request(["z"], "after")
      ])
        socket.socket.send(each)
      // Either node tries it.
      await until(
        async () =>
          (await Promise.all(nodes.servers.map((each) => call(each, "GET", "/metrics"))))
            .map(({ body }) => body.toString())
            .join("\n"),
        (text) => /^spillway_speaker_samples_total\{outcome="waiting"\} [1-9]/m.test(text)
      )
      socket.socket.send(
        message(102, { memory_id: "talk", segments: [segment("a", 1, 2), segment("b", 3, 4.5), segment("z", 60, 61)] })
      )
      const samples = await settled(server, "late", 4)
      const outcomes = samples.map(({ person_id, reason, status }) => `${person_id} ${status} ${reason}`).sort()
      assert.deepStrictEqual(outcomes, [
        "after failed audio_missing",
        "bob stored null",
        "nobody failed segments_missing",
        "nowhere failed conversation_not_found"
      ])
      socket.socket.send(request(["none"], "nobody"))
      await until(
        () => list(server, "late", "&person=nobody"),
        ([sample]) => sample?.status === "waiting"
      )
      socket.socket.close()
    })
  )

  it.effect("is tried again while the store refuses it, and is given up after 20 failures", () =>
    test(async (nodes) => {
      const server = first(nodes)
      const socket = await talk(nodes, server, "refused")
      /** What the row says, with the next attempt due now. */
      const attempts = async () => {
        await nodes.query(
          `update speaker_samples set due_at = now() where uid = 'refused' and due_at is not null and token is null`
        )
        await nodes.query(`update speaker_sample_turns set due_at = now() where uid = 'refused'`)
        return nodes.query<{ readonly attempts: number; readonly error: string | null; readonly dead: boolean }>(
          `select attempts, last_error as error, dead_at is not null as dead from speaker_samples where uid = 'refused'`
        )
      }
      await until(
        () =>
          nodes.query<{ readonly n: number }>(
            `select coalesce(sum(samples), 0)::int as n from chunks where uid = 'refused'`
          ),
        ([row]) => row?.n === 6 * rate
      )
      nodes.gcs.faults.add({ operation: "multipart", times: 1_000, fault: { kind: "status", status: 403 } })
      socket.socket.send(request(["a", "b"]))
      await until(attempts, ([row]) => (row?.attempts ?? 0) >= 2)
      await nodes.query(`update speaker_samples set attempts = 19 where uid = 'refused'`)
      const [dead] = await until(attempts, ([row]) => row?.dead === true)
      assert.match(dead?.error ?? "", /people_profiles/)
      assert.deepInclude((await list(server, "refused"))[0], { status: "failed", reason: "processing_failed" })
      nodes.gcs.faults.clear()
      socket.socket.send(request(["a", "b"]))
      await until(
        () => list(server, "refused"),
        ([sample]) => sample?.status !== "failed"
      )
      assert.isTrue((await wavOf(server, "refused")).subarray(44).equals(expected))
      socket.socket.close()
    })
  )

  it.effect("stores nothing of a user who does not store audio", () =>
    test(async (nodes) => {
      const server = first(nodes)
      const socket = await talk(nodes, server, "out")
      await nodes.query(`insert into user_settings (uid, store_audio) values ('out', false)`)
      socket.socket.send(request(["a", "b"]))
      const [sample] = await settled(server, "out")
      assert.deepInclude(sample, { status: "failed", reason: "not_allowed" })
      assert.lengthOf(nodes.keys("out/"), 0)
      socket.socket.close()
    })
  )

  const remove = {
    alone: { title: "is deleted by itself", path: "/v1/users/alone/speaker-samples/" },
    conversation: { title: "is deleted with its conversation", path: "/v1/conversations/talk?uid=conversation" },
    account: { title: "is deleted with its account", path: "/v1/users/account" }
  }
  for (const [uid, { path, title }] of Object.entries(remove)) {
    it.effect(title, () =>
      test(async (nodes) => {
        const server = first(nodes)
        const socket = await talk(nodes, server, uid)
        socket.socket.send(request(["a", "b"]))
        const [sample] = await settled(server, uid)
        assert.deepInclude(sample, { status: "stored" })
        assert.lengthOf(nodes.keys(`${uid}/`), 1)
        socket.socket.send(request(["a"]))
        await until(
          () => list(server, uid),
          (all) => all.length === 2
        )
        socket.socket.close()
        if (uid === "alone") {
          const all = await list(server, uid)
          for (const { id } of all) assert.strictEqual((await call(server, "DELETE", `${path}${id}`)).status, 204)
          assert.strictEqual((await call(server, "DELETE", `${path}${sample?.id}`)).status, 404)
        } else assert.strictEqual((await call(server, "DELETE", path)).status, 202)
        // The second one may be being stored.
        const left = await until(
          async () => ({
            rows: await nodes.query(`select 1 from speaker_samples where uid = '${uid}'`),
            keys: nodes.keys(`${uid}/`),
            doomed: await nodes.query<{ readonly key: string }>(`select key from tombstones where uid = '${uid}'`)
          }),
          ({ doomed, keys, rows }) => rows.length === 0 && keys.every((key) => doomed.some((each) => each.key === key))
        )
        assert.isAtMost(left.keys.length, 1)
      })
    )
  }
})

layer(world(1), { excludeTestServices: true, timeout: 240_000 })("105 of a node that is killed", (it) => {
  const waits = (nodes: Nodes, table: string) =>
    until(
      () =>
        nodes.query(
          `select 1 from pg_locks l join pg_class c on c.oid = l.relation where c.relname = '${table}' and not l.granted`
        ),
      (rows) => rows.length > 0
    )

  it.effect("before it was recorded is lost, and leaves nothing", () =>
    test(async (nodes) => {
      const server = first(nodes)
      const socket = await talk(nodes, server, "ada")
      const hold = await nodes.hold(`lock table speaker_samples in exclusive mode`)
      socket.socket.send(request(["a", "b"]))
      await waits(nodes, "speaker_samples")
      await server.kill()
      await hold.release()
      assert.lengthOf(await nodes.query(`select 1 from speaker_samples`), 0)
      const again = await nodes.restart(server)
      const later = await open(again, "ada")
      later.socket.send(request(["a", "b"]))
      assert.isTrue((await wavOf(again, "ada")).subarray(44).equals(expected))
      later.socket.close()
    })
  )

  for (const step of ["before", "after"] as const) {
    it.effect(`${step} its object was put is done once, and deletes what the first attempt left`, () =>
      test(async (nodes) => {
        const server = first(nodes)
        const socket = await talk(nodes, server, step)
        const announcing = await nodes.hold(`lock table tombstones in exclusive mode`)
        socket.socket.send(request(["a", "b"]))
        // The janitor waits for this lock as well.
        await until(
          () => nodes.query(`select 1 from speaker_samples where uid = '${step}' and token is not null`),
          (rows) => rows.length > 0
        )
        await waits(nodes, "tombstones")
        if (step === "after") {
          const completing = await nodes.hold(`lock table speaker_samples in exclusive mode`)
          await announcing.release()
          await until(
            () => nodes.keys(`${step}/`),
            (keys) => keys.length === 1
          )
          await waits(nodes, "speaker_samples")
          await server.kill()
          await completing.release()
        } else {
          await server.kill()
          await announcing.release()
        }
        const left = nodes.keys(`${step}/`)
        assert.lengthOf(left, step === "after" ? 1 : 0)
        const again = await nodes.restart(server)
        assert.isTrue((await wavOf(again, step)).subarray(44).equals(expected))
        const [stored] = await nodes.query<{ readonly key: string }>(
          `select key from speaker_samples where uid = '${step}'`
        )
        assert.lengthOf(await list(again, step), 1)
        assert.sameMembers([...nodes.keys(`${step}/`)], [...left, stored?.key ?? ""])
        const doomed = await nodes.query<{ readonly key: string }>(`select key from tombstones where uid = '${step}'`)
        assert.includeMembers(
          doomed.map(({ key }) => key),
          [...left]
        )
        assert.notInclude(
          doomed.map(({ key }) => key),
          stored?.key
        )
      })
    )
  }
})

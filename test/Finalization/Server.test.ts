/** `src/Finalization` on real servers: what 104 does, and what 201 answers, with one database, a bucket, and nodes that are killed. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { artifacts, call, epoch, type Nodes, rate, sound, until, World } from "../Precache/support/Nodes.ts"
import { audioFrame, switchTo } from "../support/Capturer.ts"
import { type CaptureSocket, openCaptureSocket } from "../support/CaptureSocket.ts"
import * as Postgres from "../support/Postgres.ts"
import type { Server } from "../support/Server.ts"

/** A whole chunk is longer than the test, so that only a seal uploads it. */
const world = World.layer({ SPILLWAY_CHUNK_DURATION: "60 seconds", SPILLWAY_LOG_LEVEL: "Debug" }).pipe(
  Layer.provide(Postgres.layerServer)
)

const test = (body: (nodes: Nodes) => Promise<void>) => World.use((nodes) => Effect.promise(() => body(nodes)))

const first = ({ servers }: Nodes): Server => servers[0] ?? assert.fail("it runs")
const second = ({ servers }: Nodes): Server => servers[1] ?? assert.fail("it runs")

const message = (opcode: number, json: unknown) => {
  const head = Buffer.alloc(4)
  head.writeUInt32LE(opcode)
  return Buffer.concat([head, Buffer.from(typeof json === "string" ? json : JSON.stringify(json))])
}

const finish = (conversation: string | null, more: object = {}) =>
  message(104, { conversation_id: conversation, ...more })

const answers = ({ messages }: Pick<CaptureSocket, "messages">): ReadonlyArray<Record<string, unknown>> =>
  messages.flatMap((each) => (each.readUInt32LE(0) === 201 ? [JSON.parse(each.toString("utf8", 4))] : []))

/** The next answer on this socket. */
const ask = async (socket: CaptureSocket, request: Buffer) => {
  const known = answers(socket).length
  socket.socket.send(request)
  await socket.until((messages) => answers({ messages }).length > known)
  return answers(socket)[known]
}

const open = (server: Server, uid = "admin") =>
  openCaptureSocket(server, { query: `?ack=1&audio_timeline=2&sample_rate=${rate}&uid=${uid}` })

const record = async (socket: CaptureSocket, conversation: string, seconds = 2) => {
  socket.socket.send(switchTo(conversation))
  const audio = sound(rate * seconds)
  socket.socket.send(audioFrame(epoch, audio))
  await socket.acknowledged(audio.length)
}

const conversationOf = async (server: Server, conversation: string, uid = "admin") =>
  (await call(server, "GET", `/v1/conversations/${conversation}?uid=${uid}`)).json()

layer(world, { excludeTestServices: true, timeout: 180_000 })("104", (it) => {
  it.effect(
    "stores what was received, marks the conversation as finished, and is answered, while the capture goes on",
    () =>
      test(async (nodes) => {
        const server = first(nodes)
        const socket = await open(server)
        await record(socket, "talk")
        assert.strictEqual((await conversationOf(server, "talk"))["finished_at"], null)
        assert.lengthOf(nodes.keys("chunks/admin/talk/"), 0)
        assert.deepStrictEqual(await ask(socket, finish("talk")), { conversation_id: "talk", success: true })
        assert.lengthOf(nodes.keys("chunks/admin/talk/"), 1)
        const finished = await conversationOf(server, "talk")
        assert.isString(finished["finished_at"])
        assert.deepInclude(finished, { live: true, captured_duration: 2 })
        await until(
          () => artifacts(nodes, "talk"),
          (all) => all.length === 1
        )
        socket.socket.send(audioFrame(epoch + 2, sound(rate, 5)))
        await socket.acknowledged(rate * 2 * 3)
        socket.socket.close()
      })
  )

  it.effect("answers the same to a repeated job, on any socket of any node, without doing it again", () =>
    test(async (nodes) => {
      const socket = await open(first(nodes), "again")
      await record(socket, "talk")
      const request = finish("talk", { finalization_job_id: "job-1", dispatch_generation: 3, language: "en" })
      const answer = { conversation_id: "talk", success: true }
      assert.deepStrictEqual(await ask(socket, request), answer)
      const { finished_at } = await conversationOf(first(nodes), "talk", "again")
      assert.deepStrictEqual(await ask(socket, request), answer)
      socket.socket.close()
      const later = await open(second(nodes), "again")
      assert.deepStrictEqual(await ask(later, request), answer)
      assert.strictEqual((await conversationOf(first(nodes), "talk", "again"))["finished_at"], finished_at)
      const newer = finish("talk", { finalization_job_id: "job-1", dispatch_generation: 4 })
      assert.deepStrictEqual(await ask(later, newer), answer)
      assert.notStrictEqual((await conversationOf(first(nodes), "talk", "again"))["finished_at"], finished_at)
      const stale = { finalization_job_id: "job-1", dispatch_generation: 3 }
      assert.deepStrictEqual(await ask(later, finish("talk", { ...stale, finalization_result_protocol: 2 })), {
        conversation_id: "talk",
        error: "job_stale_generation",
        terminal: true,
        dispatch_generation: 3
      })
      assert.deepStrictEqual(await ask(later, finish("talk", stale)), { conversation_id: "talk", fenced: true })
      later.socket.close()
    })
  )

  it.effect("is terminal where it can't succeed", () =>
    test(async (nodes) => {
      const socket = await open(first(nodes), "terminal")
      assert.deepStrictEqual(await ask(socket, finish("nothing")), {
        conversation_id: "nothing",
        error: "conversation_not_found",
        terminal: true
      })
      assert.deepStrictEqual(await ask(socket, finish("nothing", { dispatch_generation: 2 })), {
        conversation_id: "nothing",
        error: "durable_job_required",
        terminal: true
      })
      await record(socket, "there")
      assert.deepInclude(await ask(socket, finish("there")), { success: true })
      assert.deepInclude(await ask(await open(first(nodes), "other"), finish("there")), {
        error: "conversation_not_found"
      })
      await nodes.query(
        `insert into finalizations (uid, conversation_id, job, generation, dead_at) values ('terminal', 'there', 'j', 1, now())`
      )
      assert.deepStrictEqual(await ask(socket, finish("there", { finalization_job_id: "j" })), {
        conversation_id: "there",
        error: "processing_failed",
        terminal: true
      })
      socket.socket.close()
    })
  )

  it.effect("is ignored without a conversation, and when it can't be used", () =>
    test(async (nodes) => {
      const socket = await open(first(nodes), "ignored")
      const ignored = async () => {
        const text = (await call(first(nodes), "GET", "/metrics")).body.toString()
        return Number(/^spillway_messages_ignored_total (\d+)/m.exec(text)?.[1] ?? 0)
      }
      const before = await ignored()
      const unusable = [
        finish(null),
        message(104, {}),
        message(104, "{"),
        finish("../x"),
        finish("a", { dispatch_generation: "2" }),
        finish("a", { byok_keys: "x".repeat(70_000) })
      ]
      for (const each of unusable) socket.socket.send(each)
      await until(ignored, (count) => count >= before + unusable.length)
      assert.lengthOf(answers(socket), 0)
      assert.lengthOf(await nodes.query(`select 1 from finalizations where uid = 'ignored'`), 0)
      socket.socket.close()
    })
  )

  it.effect("answers a socket that came later, when the one that asked is closed", () =>
    test(async (nodes) => {
      const socket = await open(first(nodes), "later")
      await record(socket, "talk")
      const request = finish("talk", { finalization_job_id: "job-1" })
      socket.socket.send(request)
      socket.socket.terminate()
      await until(
        () => nodes.query<{ readonly outcome: string | null }>(`select outcome from finalizations where uid = 'later'`),
        ([row]) => row?.outcome === "finished"
      )
      const later = await open(first(nodes), "later")
      assert.deepInclude(await ask(later, request), { success: true })
      later.socket.close()
    })
  )

  it.effect("keeps the users' keys for providers out of everything that it writes", () =>
    test(async (nodes) => {
      const canary = "sk-canary-7f3a91c2d4"
      const server = first(nodes)
      const socket = await open(server, "byok")
      await record(socket, "talk")
      const byok_keys = { openai: canary, deepgram: canary }
      await ask(socket, finish("talk", { byok_keys, finalization_job_id: "job-1" }))
      await ask(socket, finish("nothing", { byok_keys }))
      await ask(socket, finish("nothing", { byok_keys, dispatch_generation: 1 }))
      socket.socket.send(message(104, `{"byok_keys": "${canary}"`))
      socket.socket.send(finish("../x", { byok_keys }))
      socket.socket.send(finish("a", { byok_keys, dispatch_generation: canary }))
      socket.socket.send(message(104, { conversation_id: canary.repeat(20), byok_keys }))
      // A failure inside of the request.
      await nodes.query(`alter table finalizations rename to finalizations_away`)
      assert.deepInclude(await ask(socket, finish("talk", { byok_keys })), { error: "processing_failed" })
      await nodes.query(`alter table finalizations_away rename to finalizations`)
      socket.socket.send(message(999, byok_keys))
      const { reason } = await socket.closed
      const captures = (await call(server, "GET", "/v1/captures")).body.toString()
      const metrics = (await call(server, "GET", "/metrics")).body.toString()
      const tables = await nodes.query<{ readonly name: string }>(
        `select table_name as name from information_schema.tables where table_schema = 'public'`
      )
      const rows = await Promise.all(tables.map(({ name }) => nodes.query(`select t::text from "${name}" t`)))
      const journal = nodes.dataDirs.flatMap((directory) =>
        Fs.readdirSync(directory, { recursive: true, withFileTypes: true })
          .filter((entry) => entry.isFile())
          .map((entry) => Fs.readFileSync(Path.join(entry.parentPath, entry.name), "latin1"))
      )
      const logs = nodes.servers.map((each) => each.output())
      assert.include(logs.join(), "could not be recorded", "the failure is in the log")
      assert.include(JSON.stringify(rows), "job-1")
      const outputs = [reason, captures, metrics, JSON.stringify(rows), ...journal, ...logs, socket.messages.join()]
      for (const output of outputs) assert.notInclude(output, canary)
    })
  )

  it.effect("is done after its node was killed at any step, by another node or by itself", () =>
    test(async (nodes) => {
      // A lock holds the node at the step that needs the table.
      for (const [table, isRecorded] of [
        ["finalizations", false],
        ["chunks", true],
        ["artifact_turns", true]
      ] as const) {
        const server = first(nodes)
        const socket = await open(server, `killed-${table}`)
        await record(socket, "talk", 3)
        const request = finish("talk", { finalization_job_id: "job-1" })
        const hold = await nodes.hold(`lock table ${table} in exclusive mode`)
        socket.socket.send(request)
        const waits = `select 1 from pg_locks l join pg_class c on c.oid = l.relation where c.relname = '${table}' and not l.granted`
        const rows = () =>
          nodes.query<{ readonly outcome: string | null }>(
            `select outcome from finalizations where uid = 'killed-${table}'`
          )
        // Nodes that do other work wait for this lock as well.
        if (isRecorded) await until(rows, (found) => found.length > 0)
        await until(
          () => nodes.query(waits),
          (rows) => rows.length > 0
        )
        await server.kill()
        await hold.release()
        if (isRecorded) await until(rows, (found) => found[0]?.outcome === "finished")
        // Nothing was promised: the client, which got no answer, asks again.
        else assert.lengthOf(await rows(), 0)
        const again = await nodes.restart(server)
        const later = await open(again, `killed-${table}`)
        assert.deepStrictEqual(await ask(later, request), { conversation_id: "talk", success: true })
        const found = await until(
          () => conversationOf(again, "talk", `killed-${table}`),
          ({ captured_duration }) => captured_duration === 3
        )
        assert.isString(found["finished_at"])
        later.socket.close()
      }
    })
  )
})

/** Answers are due soon, and a conversation has ended when nothing was stored for a second. */
const soon = World.layer({
  SPILLWAY_CHUNK_DURATION: "60 seconds",
  FINALIZATION_ANSWER: "2 seconds",
  PRECACHE_QUIET: "1 second"
}).pipe(Layer.provide(Postgres.layerServer))

layer(soon, { excludeTestServices: true, timeout: 180_000 })("104 of a job that goes on", (it) => {
  it.effect("says at its deadline whether the job is being done, failed, or lost its lease before it could end", () =>
    test(async (nodes) => {
      const socket = await open(first(nodes), "slow")
      const jobs = {
        done: [`0, null`, { error: "job_leased" }],
        failed: [`1, 'no store'`, { error: "processing_failed" }],
        cut: [`1, 'the node that ran it has ended or was cut off'`, { error: "job_completion_conflict" }]
      } as const
      for (const [job, [state, answer]] of Object.entries(jobs)) {
        await nodes.query(
          `insert into finalizations (uid, conversation_id, job, generation, due_at, token, attempts, last_error)
           values ('slow', 'talk', '${job}', 1, now() + interval '1 hour', gen_random_uuid(), ${state})`
        )
        assert.deepStrictEqual(await ask(socket, finish("talk", { finalization_job_id: job })), {
          conversation_id: "talk",
          ...answer
        })
      }
      socket.socket.close()
    })
  )

  it.effect(
    "finishes a conversation to which the audio in the journal of another node is added when it is stored",
    () =>
      test(async (nodes) => {
        const [recording, asking] = [await open(first(nodes), "two"), await open(second(nodes), "two")]
        await record(recording, "talk")
        assert.deepInclude(await ask(asking, finish("talk")), { success: true })
        assert.lengthOf(nodes.keys("chunks/two/talk/"), 0)
        const { captured_duration, finished_at } = await conversationOf(second(nodes), "talk", "two")
        assert.isString(finished_at)
        assert.strictEqual(captured_duration, 0)
        recording.socket.close()
        const found = await until(
          () => conversationOf(second(nodes), "talk", "two"),
          (conversation) => conversation["captured_duration"] === 2
        )
        assert.strictEqual(found["finished_at"], finished_at)
        await until(
          () => nodes.keys("merged/two/talk/"),
          (keys) => keys.length === 1
        )
        asking.socket.close()
      })
  )
})

/** `src/main.ts`: a real server deletes conversations and accounts. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert, it } from "@effect/vitest"
import { crc32c } from "@node-rs/crc32"
import * as FileName from "../../src/Storage/Disk/FileName.ts"
import * as ObjectFile from "../../src/Storage/Disk/ObjectFile.ts"
import { audioFrame, switchTo } from "../support/Capturer.ts"
import { openCaptureSocket } from "../support/CaptureSocket.ts"
import { fileServer } from "../support/TestServer.ts"

const server = fileServer()
const rate = 16_000
const epoch = 1_760_000_000

const call = async (method: string, path: string, key = server.key, body?: unknown) => {
  const response = await fetch(`${server.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) })
  })
  const text = await response.text()
  return { status: response.status, body: text === "" ? undefined : JSON.parse(text) }
}

const keyOf = async (uid: string): Promise<string> => (await call("POST", "/v1/keys", server.key, { uid })).body.key

/** Waits until the response holds. */
const until = async (
  method: string,
  path: string,
  key: string,
  holds: (of: Awaited<ReturnType<typeof call>>) => boolean
) => {
  for (;;) {
    const response = await call(method, path, key)
    if (holds(response)) return response
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

const isDone = ({ body }: { readonly body: { readonly status: string } }) => body.status === "done"

/** An open socket that has acknowledged a second of audio from `start` on. */
const recording = async (conversation: string, key: string, start = epoch) => {
  const socket = await openCaptureSocket(
    { url: server.url, key },
    { query: `?sample_rate=${rate}&audio_timeline=2&ack=1` }
  )
  socket.socket.send(switchTo(conversation))
  socket.socket.send(audioFrame(start, Buffer.alloc(rate * 2, 1)))
  await socket.acknowledged(rate * 2)
  return socket
}

/** Stored: the row and the object are there. */
const record = async (conversation: string, key: string, start = epoch) => {
  const socket = await recording(conversation, key, start)
  socket.socket.close()
  await socket.closed
}

const filesUnder = (prefix: string): ReadonlyArray<string> => {
  const directory = Path.join(server.dataDir, "objects", prefix)
  if (!Fs.existsSync(directory)) return []
  return Fs.readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => name)
}

const stored = async (prefix: string, count = 1) => {
  while (filesUnder(prefix).length < count) await new Promise((resolve) => setTimeout(resolve, 20))
}

const fileOf = (key: string) => Path.join(server.dataDir, "objects", FileName.fileOf(key))

/** An object that another part of the server has stored. */
const putObject = (key: string) => {
  const body = Buffer.alloc(100)
  const sum = { size: body.length, crc32c: crc32c(body), contentType: "audio/wav", metadata: {} }
  Fs.mkdirSync(Path.dirname(fileOf(key)), { recursive: true })
  Fs.writeFileSync(
    fileOf(key),
    Buffer.concat([body, ObjectFile.tail({ key, generation: "1", createdAt: new Date(0), ...sum })])
  )
}

const notices = (messages: ReadonlyArray<Buffer>) =>
  messages
    .filter((message) => message.readUInt32LE(0) === 204)
    .map((message) => JSON.parse(message.toString("utf8", 4)))

it("deletes a stored conversation, counts what it deletes, and answers the same job again", async () => {
  const key = await keyOf("ada")
  await record("old", key)
  await record("kept", key)
  await stored("chunks/ada/old")
  await stored("chunks/ada/kept")

  const accepted = await call("DELETE", "/v1/conversations/old", key)
  assert.deepStrictEqual(
    [accepted.status, accepted.body.status, accepted.body.conversation_id],
    [202, "running", "old"]
  )
  const job = `/v1/deletions/${accepted.body.job_id}`
  const { body: done } = await until("GET", job, key, isDone)
  const { bytes, ...deleted } = done.deleted
  assert.deepStrictEqual(deleted, { conversations: 1, chunks: 1, objects: 1, keys: 0 })
  assert.isAbove(bytes, rate * 2 - 1)
  assert.deepStrictEqual([done.left_objects, done.last_error, done.due_at, done.expected_chunks], [0, null, null, 1])
  assert.deepStrictEqual(filesUnder("chunks/ada/old"), [])
  assert.strictEqual((await call("GET", "/v1/conversations/old", key)).status, 404)
  const { body: list } = await call("GET", "/v1/conversations", key)
  assert.deepStrictEqual(
    list.conversations.map(({ id }: { id: string }) => id),
    ["kept"]
  )

  const again = await call("DELETE", "/v1/conversations/old", key)
  assert.deepStrictEqual([again.status, again.body.job_id, again.body.status], [202, accepted.body.job_id, "done"])
  assert.strictEqual((await call("DELETE", job, key)).status, 409)
})

it("ends the capture of what is deleted with a notice and 1008, and records the id anew afterwards", async () => {
  const key = await keyOf("grace")
  const socket = await recording("live", key)
  const { body: job } = await call("DELETE", "/v1/conversations/live", key)
  assert.deepStrictEqual(await socket.closed, { code: 1008, reason: "the conversation was deleted" })
  assert.deepStrictEqual(notices(socket.messages), [
    { type: "deleted", detail: "the conversation was deleted, with all of its audio" }
  ])
  const refused = await openCaptureSocket({ url: server.url, key }, { query: "?ack=1&audio_timeline=2" })
  refused.socket.send(switchTo("live"))
  assert.strictEqual((await refused.closed).code, 1008)

  await until("GET", `/v1/deletions/${job.job_id}`, key, isDone)
  assert.deepStrictEqual(filesUnder("chunks/grace"), [])
  assert.strictEqual((await call("GET", "/v1/conversations/live", key)).status, 404)
  await record("live", key)
  await stored("chunks/grace/live")
  const { body: anew } = await until("GET", "/v1/conversations/live", key, ({ body }) => body.live === false)
  assert.strictEqual(anew.captured_duration, 1)
})

it("undoes a deletion that waits, and starts it early when it is asked for without a delay", async () => {
  const key = await keyOf("alan")
  await record("c", key)
  await stored("chunks/alan/c")
  const { body: job } = await call("DELETE", "/v1/conversations/c?delay=600", key)
  assert.strictEqual(job.status, "scheduled")
  const undone = await call("DELETE", `/v1/deletions/${job.job_id}`, key)
  assert.deepStrictEqual([undone.status, undone.body.status], [200, "cancelled"])
  assert.strictEqual((await call("DELETE", `/v1/deletions/${job.job_id}`, key)).body.status, "cancelled")

  const { body: later } = await call("DELETE", "/v1/conversations/c?delay=600", key)
  assert.notStrictEqual(later.job_id, job.job_id)
  const { body: now } = await call("DELETE", "/v1/conversations/c", key)
  assert.deepStrictEqual([now.job_id, now.status], [later.job_id, "running"])
  await until("GET", `/v1/deletions/${later.job_id}`, key, isDone)
  assert.deepStrictEqual(filesUnder("chunks/alan"), [])
})

it("deletes an account with every prefix of the store, its captures and its keys", async () => {
  const key = await keyOf("mary")
  await record("first", key)
  const socket = await recording("second", key)
  await stored("chunks/mary/first")
  const { body: account } = await call("GET", "/v1/users/mary", key)
  assert.deepStrictEqual([account.uid, account.conversations, account.keys], ["mary", 2, 1])
  const keys = ["merged/mary/first/a.wav", "syncing/mary/job/f.bin", "mary/people_profiles/p/s.wav"]
  for (const key of keys) putObject(key)
  // A damaged object, which the store refuses to list.
  Fs.truncateSync(fileOf("merged/mary/first/a.wav"), 30)

  const { body: job, status } = await call("DELETE", "/v1/users/mary", key)
  assert.deepStrictEqual([status, job.conversation_id, job.uid], [202, null, "mary"])
  assert.strictEqual((await socket.closed).code, 1008)
  const { body: done } = await until("GET", `/v1/deletions/${job.job_id}`, server.key, isDone)
  assert.deepStrictEqual([done.deleted.conversations, done.deleted.keys, done.left_objects], [2, 1, 0])
  assert.strictEqual(done.deleted.objects, 4)
  for (const prefix of ["chunks/mary", "merged/mary", "syncing/mary", "mary"])
    assert.deepStrictEqual(filesUnder(prefix), [], prefix)
  assert.strictEqual((await call("GET", "/v1/conversations", key)).status, 401)
  assert.strictEqual((await call("GET", "/v1/users/mary")).status, 404)
  assert.strictEqual((await call("DELETE", "/v1/users/mary")).body.job_id, job.job_id)
})

it("answers 404 to what never existed, 400 to bad delays and ids, and 403 for other accounts", async () => {
  const key = await keyOf("eve")
  const other = await keyOf("bob")
  await record("c", other)
  const status = async (method: string, path: string, by = key) => (await call(method, path, by)).status
  assert.strictEqual(await status("DELETE", "/v1/conversations/none"), 404)
  assert.strictEqual(await status("DELETE", "/v1/conversations/c"), 404)
  assert.strictEqual(await status("DELETE", "/v1/users/nobody", server.key), 404)
  assert.strictEqual(await status("DELETE", "/v1/users/bob"), 403)
  assert.strictEqual(await status("GET", "/v1/users/bob"), 403)
  for (const delay of ["-1", "86401", "x", "1.5", "1e99"])
    assert.strictEqual(await status("DELETE", `/v1/conversations/c?delay=${delay}`, other), 400, delay)
  assert.strictEqual(await status("DELETE", "/v1/conversations/a%2Fb"), 400)
  assert.strictEqual(await status("GET", "/v1/deletions/x"), 400)
  assert.strictEqual(await status("GET", "/v1/deletions/00000000-0000-4000-8000-000000000000"), 404)
  const { body: job } = await call("DELETE", "/v1/conversations/c?delay=600", other)
  assert.strictEqual(await status("GET", `/v1/deletions/${job.job_id}`), 404)
  assert.strictEqual(await status("DELETE", `/v1/deletions/${job.job_id}`), 404)
  assert.strictEqual(await status("GET", `/v1/deletions/${job.job_id}`, server.key), 200)
})

it("lists the deletions of a user that are not over, in pages, and those of all users to an admin", async () => {
  const [key, other] = [await keyOf("lena"), await keyOf("zoe")]
  const scheduled = async (conversation: string, by: string): Promise<string> => {
    await record(conversation, by)
    return (await call("DELETE", `/v1/conversations/${conversation}?delay=3600`, by)).body.job_id
  }
  const a = await scheduled("a", key)
  const b = await scheduled("b", key)
  const c = await scheduled("c", key)
  const ofOther = await scheduled("a", other)
  const idsOf = ({ body }: Awaited<ReturnType<typeof call>>): ReadonlyArray<string> =>
    body.deletions.map((job: { readonly job_id: string }) => job.job_id)

  const first = await call("GET", "/v1/deletions?limit=2", key)
  assert.deepStrictEqual([first.status, idsOf(first), first.body.next], [200, [a, b], b])
  const [job] = first.body.deletions
  assert.deepStrictEqual([job.status, job.conversation_id], ["scheduled", "a"])
  assert.closeTo(Date.parse(job.due_at) - Date.parse(first.body.at), 3_600_000, 60_000)
  const second = await call("GET", `/v1/deletions?limit=2&after=${b}`, key)
  assert.deepStrictEqual([idsOf(second), second.body.next], [[c], null])
  const whole = await call("GET", "/v1/deletions?limit=3", key)
  assert.deepStrictEqual([idsOf(whole), whole.body.next], [[a, b, c], null])

  // Also after one that is over, and without it.
  await call("DELETE", `/v1/deletions/${b}`, key)
  assert.deepStrictEqual(idsOf(await call("GET", `/v1/deletions?after=${b}`, key)), [c])
  assert.deepStrictEqual(idsOf(await call("GET", "/v1/deletions?uid=lena")), [a, c])
  const all = idsOf(await call("GET", `/v1/deletions?all=true&limit=100&after=${a}`))
  assert.deepStrictEqual(
    all.filter((id) => [a, b, c, ofOther].includes(id)),
    [c, ofOther]
  )
  assert.strictEqual((await call("GET", "/v1/deletions?all=true", key)).status, 403)
  assert.strictEqual((await call("GET", "/v1/deletions?all=false", key)).status, 400)
})

it("rejects a query parameter that it does not know, such as a misspelt delay", async () => {
  const key = await keyOf("otto")
  await record("talk", key)
  const { body, status } = await call("DELETE", "/v1/conversations/talk?dely=30", key)
  assert.strictEqual(status, 400)
  assert.deepStrictEqual(body.errors, [{ path: ["query", "dely"], message: "There is no such field" }])
  assert.strictEqual((await call("GET", "/v1/conversations/talk", key)).status, 200)
})

/** `src/Users/ActiveUsers.ts` and the settings of users on real servers: what is stored of whom, before, during and after an opt-out, and without the database. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Crypto from "node:crypto"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { suspend } from "../Db/support/Embedded.ts"
import { audioFrame, readAck, switchTo } from "../support/Capturer.ts"
import { type CaptureSocket, openCaptureSocket } from "../support/CaptureSocket.ts"
import { fileServer, testDirectory, testServer } from "../support/TestServer.ts"

interface Address {
  readonly url: string
  readonly key: string
}

const env = {
  SPILLWAY_COMMIT_INTERVAL: "20 millis",
  SPILLWAY_CHUNK_DURATION: "1 second",
  USER_SETTINGS_TIMEOUT: "2 seconds",
  SPILLWAY_MASTER_SECRETS: Buffer.alloc(32, 7).toString("base64")
}
const server = fileServer(env)

const start = 1_700_000_000
const rate = 16_000
/** A second of audio that occurs nowhere else. */
const noise = () => Crypto.randomBytes(rate * 2)

const open = (uid: string, to: Address = server, query = "") =>
  openCaptureSocket(to, { query: `?ack=1&audio_timeline=2&uid=${uid}${query}` })

const call = async (method: string, path: string, body?: unknown, to: Address = server, key = to.key) => {
  const response = await fetch(`${to.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) })
  })
  return { status: response.status, body: JSON.parse(await response.text()) }
}

const put = (uid: string, settings: object, to: Address = server) =>
  call("PUT", `/v1/users/${uid}/settings`, settings, to)

const notices = ({ messages }: CaptureSocket) =>
  messages.flatMap((message) => (message.readUInt32LE(0) === 204 ? [JSON.parse(message.toString("utf8", 4))] : []))

const isNotStored = (message: Buffer) =>
  message.readUInt32LE(0) === 204 && /the user's settings say that audio is not stored/.test(message.toString())

const acked = ({ messages }: CaptureSocket) => Math.max(0, ...messages.map((message) => readAck(message)?.bytes ?? 0))

/** Files come and go while they are listed. */
const contentOf = (path: string): Buffer => {
  try {
    return Fs.readFileSync(path)
  } catch {
    return Buffer.alloc(0)
  }
}

/** Whether a file of the data directory has these bytes, the database's files included. */
const isWritten = (dataDir: string, bytes: Buffer): boolean =>
  Fs.readdirSync(dataDir, { recursive: true, withFileTypes: true }).some(
    (entry) => entry.isFile() && contentOf(Path.join(entry.parentPath, entry.name)).includes(bytes)
  )

/** Sends a second of audio every 100 ms, from `at` on, until the server has said that it is not stored, or acknowledged it. */
const sendUntil = async (capture: CaptureSocket, at: number, holds: () => boolean, bytes = rate * 2) => {
  const sent: Array<Buffer> = []
  while (!holds()) {
    assert.strictEqual(capture.socket.readyState, capture.socket.OPEN)
    const audio = noise().subarray(0, bytes)
    capture.socket.send(audioFrame(at + sent.length, audio))
    sent.push(audio)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  return sent
}

it("writes no audio of a user who has opted out, says so once, and acknowledges none", async () => {
  assert.deepInclude(await put("out", { store_audio: false }), {
    status: 200,
    body: { store_audio: false, protection: null, retention_days: null }
  })
  const [mine, others] = [noise(), noise()]
  const [out, other] = [await open("out"), await open("other")]
  for (const capture of [out, other]) capture.socket.send(switchTo("talk"))
  out.socket.send(audioFrame(start, mine))
  out.socket.send(audioFrame(start + 1, mine))
  other.socket.send(audioFrame(start, others))
  await Promise.all([out.until((all) => all.some(isNotStored)), other.acknowledged(others.length)])
  out.socket.close()
  await out.closed
  assert.deepStrictEqual(notices(out), [
    { type: "limit", stored: false, detail: "the user's settings say that audio is not stored" }
  ])
  assert.strictEqual(acked(out), 0)
  assert.isTrue(isWritten(server.dataDir, others.subarray(0, 1_000)))
  assert.isFalse(isWritten(server.dataDir, mine.subarray(0, 1_000)))
  const list = await call("GET", "/v1/conversations?uid=out")
  assert.deepStrictEqual(list.body.conversations, [])
  const metrics = await (await fetch(`${server.url}/metrics`)).text()
  assert.match(metrics, /^spillway_users_not_stored \d/m)
  other.socket.close()
})

it("stops storing a capture within seconds of the opt-out, keeps what it has acknowledged, and resumes", async () => {
  const capture = await open("during")
  capture.socket.send(switchTo("talk"))
  const first = noise()
  capture.socket.send(audioFrame(start, first))
  await capture.acknowledged(first.length)
  await put("during", { store_audio: false })
  const before = await sendUntil(capture, start + 10, () => capture.messages.some(isNotStored))
  assert.isBelow(before.length, 40)
  const unstored = noise()
  capture.socket.send(audioFrame(start + 100, unstored))
  await put("during", { store_audio: true })
  const stored = acked(capture)
  const after = await sendUntil(capture, start + 200, () => acked(capture) > stored + first.length * before.length)
  const last = noise()
  capture.socket.send(audioFrame(start + 300, last))
  capture.socket.close()
  await capture.closed
  assert.isAbove(after.length, 0)
  assert.isTrue(isWritten(server.dataDir, first.subarray(0, 1_000)))
  assert.isTrue(isWritten(server.dataDir, last.subarray(0, 1_000)))
  assert.isFalse(isWritten(server.dataDir, unstored.subarray(0, 1_000)))
  assert.lengthOf(capture.messages.filter(isNotStored), 1)
})

it("drops audio that waits for its conversation when the user opts out", async () => {
  const capture = await open("held")
  const held = noise().subarray(0, 8_000)
  capture.socket.send(audioFrame(start, held))
  await put("held", { store_audio: false })
  // Less than a socket may send before it selects a conversation.
  await sendUntil(capture, start + 10, () => capture.messages.some(isNotStored), 500)
  capture.socket.send(switchTo("talk"))
  capture.socket.close()
  await capture.closed
  assert.isFalse(isWritten(server.dataDir, held.subarray(0, 1_000)))
})

it("keeps to what it has read while the database does not answer, and receives nothing of users it does not know", async () => {
  const dataDir = testDirectory()
  const own = await testServer(env, dataDir)
  await put("known-out", { store_audio: false }, own)
  await put("unknown-out", { store_audio: false }, own)
  const [knownIn, knownOut] = [await open("known-in", own), await open("known-out", own)]
  for (const { socket } of [knownIn, knownOut]) socket.send(switchTo("talk"))
  const first = noise()
  knownIn.socket.send(audioFrame(start, first))
  knownOut.socket.send(audioFrame(start, noise()))
  await Promise.all([knownIn.acknowledged(first.length), knownOut.until((all) => all.some(isNotStored))])
  const pids = await Effect.runPromise(suspend(dataDir))
  const unknown = await open("unknown-out", own)
  const [during, hidden, secret] = [noise(), noise(), noise()]
  unknown.socket.send(switchTo("talk"))
  unknown.socket.send(audioFrame(start, secret))
  knownIn.socket.send(audioFrame(start + 1, during))
  knownOut.socket.send(audioFrame(start + 1, hidden))
  await knownIn.acknowledged(first.length + during.length)
  assert.deepStrictEqual(await unknown.closed, {
    code: 1013,
    reason: "Retry-After: 5; the user's settings can't be read"
  })
  for (const pid of pids) process.kill(pid, "SIGCONT")
  assert.isTrue(isWritten(dataDir, during.subarray(0, 1_000)))
  for (const audio of [hidden, secret]) assert.isFalse(isWritten(dataDir, audio.subarray(0, 1_000)))
  const again = await open("unknown-out", own)
  again.socket.send(switchTo("talk"))
  again.socket.send(audioFrame(start, secret))
  await again.until((all) => all.some(isNotStored))
  assert.isFalse(isWritten(dataDir, secret.subarray(0, 1_000)))
})

it("stores only audio of users who have opted in where the server says so", async () => {
  const strict = await testServer({ ...env, SPILLWAY_STORE_AUDIO: "no" })
  const first = await open("new", strict)
  first.socket.send(switchTo("talk"))
  first.socket.send(audioFrame(start, noise()))
  await first.until((all) => all.some(isNotStored))
  assert.deepStrictEqual((await call("GET", "/v1/users/private-cloud-sync?uid=new", undefined, strict)).body, {
    private_cloud_sync_enabled: false
  })
  await put("new", { store_audio: true }, strict)
  await sendUntil(first, start + 10, () => acked(first) > 0)
  first.socket.close()
})

it("reads and changes the settings of the key's user without its name", async () => {
  const path = "/v1/users/settings?uid=nameless"
  const unset = { store_audio: null, protection: null, retention_days: null }
  assert.deepStrictEqual(await call("GET", path), { status: 200, body: unset })
  const changed = { ...unset, retention_days: 7 }
  assert.deepStrictEqual(await call("PUT", path, { retention_days: 7 }), { status: 200, body: changed })
  assert.deepStrictEqual((await call("GET", "/v1/users/nameless/settings")).body, changed)
  assert.deepStrictEqual((await call("GET", "/v1/users/settings")).body, unset)
})

it("answers omi's app as omi does", async () => {
  const path = "/v1/users/private-cloud-sync"
  assert.deepStrictEqual(await call("GET", `${path}?uid=app`), {
    status: 200,
    body: { private_cloud_sync_enabled: true }
  })
  assert.deepStrictEqual(await call("POST", `${path}?value=false&uid=app`), { status: 200, body: { status: "ok" } })
  assert.deepStrictEqual(await call("GET", `${path}?uid=app`), {
    status: 200,
    body: { private_cloud_sync_enabled: false }
  })
  assert.strictEqual((await call("POST", `${path}?value=maybe&uid=app`)).status, 400)
  assert.strictEqual((await call("POST", `${path}?uid=app`)).status, 400)
  assert.deepStrictEqual((await call("GET", "/v1/users/app/settings")).body, {
    store_audio: false,
    protection: null,
    retention_days: null
  })
})

it("keeps what a change leaves out, and forgets what is null", async () => {
  await put("part", { store_audio: false, protection: "enhanced", retention_days: 3 })
  assert.deepStrictEqual((await put("part", { retention_days: 4 })).body, {
    store_audio: false,
    protection: "enhanced",
    retention_days: 4
  })
  assert.deepStrictEqual((await put("part", { protection: null })).body.store_audio, false)
  assert.deepStrictEqual((await put("part", { store_audio: null })).body, {
    store_audio: null,
    protection: null,
    retention_days: 4
  })
  assert.strictEqual((await put("part", { protection: "none" })).status, 400)
  assert.strictEqual((await put("part", { store_audio: "no" })).status, 400)
})

it("encrypts the audio of users who want it, and of no others", async () => {
  await put("sealed", { protection: "enhanced" })
  const record = async (uid: string) => {
    const capture = await open(uid)
    capture.socket.send(switchTo("talk"))
    const audio = noise()
    capture.socket.send(audioFrame(start, audio))
    capture.socket.send(switchTo("next"))
    await capture.until((all) => all.some((message) => readAck(message)?.stored !== undefined))
    capture.socket.close()
    await capture.closed
    const [name = ""] = Fs.readdirSync(Path.join(server.dataDir, "objects/chunks", uid, "talk"))
    const played = await fetch(`${server.url}/v1/conversations/talk/export?uid=${uid}&format=wav`, {
      headers: { authorization: `Bearer ${server.key}` }
    })
    assert.isTrue(Buffer.from(await played.arrayBuffer()).includes(audio.subarray(0, 1_000)))
    return /batch\.\w+/.exec(name)?.[0]
  }
  assert.deepStrictEqual([await record("sealed"), await record("plain")], ["batch.enc", "batch.bin"])
})

it("refuses encryption that it has no secret for", async () => {
  const bare = await testServer()
  const { body, status } = await put("sealed", { protection: "enhanced" }, bare)
  assert.deepInclude({ status, type: body.type }, { status: 409, type: "urn:spillway:problem:no-master-secret" })
})

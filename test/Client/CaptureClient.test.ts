/** The client against the real server: nothing is lost or doubled, and each end is reported as what it is. */
import { assert, it } from "@effect/vitest"
import { once } from "node:events"
import { onTestFinished } from "vitest"
import { WebSocket, WebSocketServer } from "ws"
import { decode, packets, samplesOf } from "../Recording/support/OpusPackets.ts"
import { openCaptureSocket } from "../support/CaptureSocket.ts"
import { freePort } from "../support/FreePort.ts"
import { seed } from "../support/Seed.ts"
import { fileServer, testDirectory, testServer } from "../support/TestServer.ts"
import { noise, openSender, played, sendAll, start } from "./support/Sender.ts"

const here = fileServer({
  SPILLWAY_COMMIT_INTERVAL: "60 millis",
  SPILLWAY_CAPTURES_PER_USER: "2",
  KEY_CACHE_TIME: "50 millis",
  KEY_CHECK_INTERVAL: "100 millis"
})

const forever = { deadlineMillis: Infinity }

const userOf = async (uid: string): Promise<{ readonly id: string; readonly url: string; readonly key: string }> => {
  const headers = { authorization: `Bearer ${here.key}`, "content-type": "application/json" }
  const init = { method: "POST", headers, body: JSON.stringify({ uid }) }
  return { url: here.url, ...JSON.parse(await (await fetch(`${here.url}/v1/keys`, init)).text()) }
}

const constructors = { "the WebSocket of Node": {}, "the package ws": { WebSocket } }

it.each(Object.entries(constructors))("resumes after SIGKILL, without loss or doubles, with %s", async (_, options) => {
  const [dataDir, port] = [testDirectory(), String(await freePort())]
  const env = { SPILLWAY_PORT: port, SPILLWAY_COMMIT_INTERVAL: "60 millis", SPILLWAY_CHUNK_DURATION: "3 seconds" }
  let server = await testServer(env, dataDir)
  const all = noise(12)
  const [first, second] = [all.subarray(0, 8 * 32_000), all.subarray(8 * 32_000)]
  const { client, when } = openSender(server, { ...options, bufferBytes: 64 * 1024 })
  const sending = (async () => {
    await sendAll(client, first)
    client.switchTo("other")
    await sendAll(client, second)
    return client.close(forever)
  })()
  const bound = setInterval(() => assert.isAtMost(client.totals.unacknowledged, 64 * 1024), 5)
  for (const share of [0.1, 0.4, 0.7]) {
    await when(({ totals }) => totals.acknowledged > share * all.length)
    await server.kill()
    await when(({ status }) => status.state === "waiting")
    server = await testServer(env, dataDir)
  }
  const end = await sending
  clearInterval(bound)
  assert.deepStrictEqual([end.cause, end.state, end.unacknowledgedBytes], ["complete", "closed", 0])
  assert.deepStrictEqual(
    [client.totals.accepted, client.totals.acknowledged, client.totals.dropped],
    [all.length, all.length, 0]
  )
  assert.isTrue((await played(server)).equals(first))
  assert.isTrue((await played(server, "other")).equals(second))
})

it("reconnects at once to a node that drains, and a later node has everything", async () => {
  const [dataDir, port] = [testDirectory(), String(await freePort())]
  let server = await testServer({ SPILLWAY_PORT: port }, dataDir)
  const all = noise(4)
  const { client, notices, when } = openSender(server, { backoffMillis: 250 })
  await sendAll(client, all.subarray(0, 64_000))
  await when(({ totals }) => totals.acknowledged > 0)
  const pauses: Array<number> = []
  const drained = when(({ status }) => {
    if (status.state === "waiting") pauses.push(status.retryMillis)
    return status.state === "waiting"
  })
  const stopped = server.stop()
  await drained
  assert.deepStrictEqual([client.status.closeCode, pauses[0]], [1001, 0])
  assert.strictEqual(notices[0]?.type, "draining")
  await stopped
  await sendAll(client, all.subarray(64_000), start + 2)
  await when(({ status }) => status.state === "waiting" && status.attempt > 1)
  assert.isAbove(client.status.retryMillis, 0)
  server = await testServer({ SPILLWAY_PORT: port }, dataDir)
  assert.strictEqual((await client.close(forever)).cause, "complete")
  assert.isTrue((await played(server)).equals(all))
})

it("reconnects to a full node when Retry-After has passed, and gives up when it asks for more than allowed", async () => {
  const user = await userOf("full")
  const seats = [await openCaptureSocket(user), await openCaptureSocket(user)]
  const began = performance.now()
  const { client, when } = openSender(user)
  await sendAll(client, noise(1))
  await when(({ status }) => status.state === "waiting")
  const { closeCode, reason, retryMillis } = client.status
  assert.deepStrictEqual([closeCode, retryMillis], [1013, 5_000])
  assert.match(reason, /^The server closed the connection \(1013: the user has 2 captures/)
  const { client: hasty } = openSender(user, { maxRetryAfterMillis: 4_999 })
  const end = await hasty.ended
  assert.deepStrictEqual([end.cause, end.state, end.closeCode], ["gave-up", "failed", 1013])
  assert.match(end.reason, / The server asks to retry in 5 s\.$/)
  for (const { socket } of seats) socket.close()
  assert.strictEqual((await client.close(forever)).cause, "complete")
  assert.isAtLeast(performance.now() - began, 5_000)
})

it("does not reconnect where another device took the conversation over, or the server can't read it", async () => {
  const user = await userOf("twice")
  const pcm = noise(1)
  const { client, when } = openSender(user)
  await sendAll(client, pcm)
  await when(({ totals }) => totals.unacknowledged === 0)
  const other = openSender(user)
  const end = await client.ended
  assert.deepStrictEqual([end.cause, end.closeCode], ["refused", 1008])
  assert.match(end.reason, /1008: another socket continues this conversation/)
  assert.deepStrictEqual([client.send(start + 1, pcm), await client.ready()], [false, false])
  const ended = await openSender(user, { conversation: "no id" }).client.ended
  assert.deepStrictEqual([ended.cause, ended.closeCode, ended.attempt], ["refused", 1003, 1])
  const query = await openSender(user, { sampleRate: 7_999 }).client.ended
  assert.deepStrictEqual([query.cause, query.closeCode], ["refused", 1008])
  assert.match(query.reason, /1008: bad query: sample_rate must be a whole number from 8000 to 48000/)
  await sendAll(other.client, pcm)
  assert.strictEqual((await other.client.close(forever)).cause, "complete")
  assert.isTrue((await played(user)).equals(pcm))
})

it("ends before it connects when its URL is not that of a server", async () => {
  for (const url of ["", "audio.example.org", "ftp://audio.example.org", "http://"]) {
    const end = await openSender({ url, key: "k" }).client.ended
    assert.deepStrictEqual([end.cause, end.attempt, end.httpStatus], ["refused", 0, undefined])
    assert.strictEqual(end.reason, `"${url}" is not the URL of a server, such as https://audio.example.org.`)
  }
})

it("names the app to the server", async () => {
  const user = await userOf("named")
  const { client, when } = openSender(user, { clientKind: "my-recorder" })
  await sendAll(client, noise(1))
  await when(({ totals }) => totals.unacknowledged === 0)
  const response = await fetch(`${here.url}/v1/captures`, { headers: { authorization: `Bearer ${user.key}` } })
  const { captures } = JSON.parse(await response.text())
  assert.deepStrictEqual(
    captures.map((capture: { client_kind: string }) => capture.client_kind),
    ["my-recorder"]
  )
})

it("ends with the audio that is left when its key is not valid, and resumes with another one where it can", async () => {
  const pcm = noise(2)
  const wrong = openSender({ url: here.url, key: "wrong" })
  await sendAll(wrong.client, pcm)
  const end = await wrong.client.ended
  assert.deepStrictEqual([end.cause, end.httpStatus, end.unacknowledgedBytes], ["refused", 401, pcm.length])
  assert.isTrue(Buffer.concat(wrong.client.unacknowledged().map(({ audio }) => audio)).equals(pcm))
  assert.strictEqual(wrong.client.unacknowledged()[1]?.start, start + 0.1)

  const patient = openSender({ url: here.url, key: "wrong" }, { retryRefusals: true })
  await patient.when(({ status }) => status.state === "waiting" && status.attempt === 2)
  assert.strictEqual(patient.client.status.httpStatus, 401)

  const keys = [await userOf("renew"), await userOf("renew")]
  let asked = 0
  const { client, when } = openSender(
    { url: here.url, key: "" },
    { key: () => Promise.resolve(keys[asked++ === 0 ? 0 : 1]?.key ?? "") }
  )
  await sendAll(client, pcm.subarray(0, 32_000))
  await when(({ totals }) => totals.acknowledged === 32_000)
  const headers = { authorization: `Bearer ${here.key}` }
  await fetch(`${here.url}/v1/keys/${keys[0]?.id}`, { method: "DELETE", headers })
  await when(({ status }) => status.closeCode === 1008)
  await sendAll(client, pcm.subarray(32_000), start + 1)
  assert.strictEqual((await client.close(forever)).cause, "complete")
  assert.strictEqual(asked, 2)
  assert.isTrue((await played({ url: here.url, key: keys[1]?.key ?? "" })).equals(pcm))
})

it("holds no more than its bounds while the server reads nothing, and sends it all afterwards", async () => {
  const dataDir = testDirectory()
  const server = await testServer({ SPILLWAY_COMMIT_INTERVAL: "60 millis", FRAMES_PER_SECOND: "100000" }, dataDir)
  const bufferBytes = 24 * 1024 * 1024
  const socketBytes = 256 * 1024
  const sockets: Array<WebSocket> = []
  class Watched extends WebSocket {
    constructor(url: string, protocols: Array<string>, options: object) {
      super(url, protocols, options)
      sockets.push(this)
    }
  }
  const { client, when } = openSender(server, {
    WebSocket: Watched,
    bufferBytes,
    socketBytes,
    messagesPerSecond: 10_000,
    patienceMillis: 120_000
  })
  await when(({ status }) => status.state === "connected")
  process.kill(server.pid, "SIGSTOP")
  const message = noise(10)
  let sent = 0
  while (client.send(start + sent * 10, message)) sent++
  assert.strictEqual(sent, Math.floor(bufferBytes / message.length))
  assert.strictEqual(client.totals.rejectedMessages, 1)
  // The kernel takes some of it, then the socket's buffer fills.
  await new Promise((resolve) => setTimeout(resolve, 500))
  assert.isAtMost(sockets[0]?.bufferedAmount ?? Infinity, socketBytes + message.length + 1_024)
  assert.isAbove(client.totals.unsent, 0)
  let isReady = false
  const ready = client.ready(message.length).then((answer) => (isReady = answer))
  await new Promise(setImmediate)
  assert.isFalse(isReady)
  process.kill(server.pid, "SIGCONT")
  assert.isTrue(await ready)
  assert.isTrue(client.send(start + sent * 10, message))
  assert.strictEqual((await client.close(forever)).cause, "complete")
  assert.isTrue((await played(server)).equals(Buffer.concat(Array.from({ length: sent + 1 }, () => message))))
})

it("fills its bound at a server that acknowledges nothing, says so, and sends the same again", async () => {
  const sent: Array<Array<Buffer>> = []
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" }).on("connection", (socket) => {
    const messages: Array<Buffer> = []
    sent.push(messages)
    socket.on("message", (data: Buffer) => messages.push(data))
  })
  onTestFinished(() => {
    for (const socket of server.clients) socket.terminate()
    server.close()
  })
  await once(server, "listening")
  const address = server.address()
  const port = typeof address === "object" ? address?.port : 0
  const place = { url: `http://127.0.0.1:${port}`, key: "k" }
  const { client, when } = openSender(place, { bufferBytes: 64_000, patienceMillis: 400, tries: 2 })
  const pcm = noise(2)
  await sendAll(client, pcm)
  assert.deepStrictEqual([client.send(start + 2, pcm), client.totals.rejectedMessages], [false, 1])
  await when(({ status }) => status.state === "waiting")
  assert.strictEqual(client.status.reason, "No acknowledgement for 0.4 s.")
  const end = await client.close(forever)
  assert.deepStrictEqual([end.cause, end.unacknowledgedBytes], ["gave-up", 64_000])
  assert.strictEqual(end.reason, "No acknowledgement for 0.4 s. Gave up after 2 tries without progress.")
  assert.strictEqual(sent.length, 3)
  for (const messages of sent) {
    assert.strictEqual(messages[0]?.toString("utf8", 4), "talk")
    const audio = messages.slice(1)
    assert.isTrue(Buffer.concat(audio.map((message) => message.subarray(12))).equals(pcm))
    assert.deepStrictEqual(
      audio.map((message) => message.readDoubleLE(4)),
      audio.map((_, index) => start + (index * 3_200) / 32_000)
    )
  }
})

it("sends packets of Opus as they are, in lists and alone", async () => {
  const user = await userOf("opus")
  const all = packets(60, seed)
  const { client } = openSender(user, { codec: "opus", sampleRate: 48_000 })
  for (let index = 0; index < all.length; index += 3) {
    const startOf = (packet: number) => start + samplesOf(all.slice(0, packet), 48_000) / 48_000
    const [first = Buffer.alloc(0), ...rest] = all.slice(index, index + 3)
    assert.isTrue(client.send(startOf(index), first))
    assert.isTrue(client.send(startOf(index + 1), rest))
  }
  assert.strictEqual((await client.close(forever)).cause, "complete")
  assert.isTrue((await played(user)).equals(decode(all, 48_000)))
})

it("closes at its deadline although nothing is acknowledged, and says how much that is", async () => {
  const { client } = openSender({ url: `http://127.0.0.1:${await freePort()}`, key: "k" }, { tries: Infinity })
  await sendAll(client, noise(1))
  const began = performance.now()
  const end = await client.close({ deadlineMillis: 300 })
  assert.deepStrictEqual([end.cause, end.unacknowledgedBytes], ["deadline", 32_000])
  assert.approximately(performance.now() - began, 300, 250)
  const { client: patient } = openSender({ url: `http://127.0.0.1:${await freePort()}`, key: "k" }, { tries: 2 })
  const { attempt, cause, reason } = await patient.ended
  assert.deepStrictEqual([cause, attempt], ["gave-up", 3])
  assert.match(reason, /^The server can't be reached .*\. Gave up after 2 tries without progress\.$/)
})

it("drops the oldest audio on request, and counts it", async () => {
  const server = { url: `http://127.0.0.1:${await freePort()}`, key: "k" }
  const { client } = openSender(server, { bufferBytes: 32_000, whenFull: "drop-oldest" })
  const pcm = noise(3)
  await new Promise(setImmediate)
  for (let at = 0; at < pcm.length; at += 3_200) {
    assert.isTrue(client.send(start + at / 32_000, pcm.subarray(at, at + 3_200)))
  }
  assert.deepStrictEqual([client.totals.dropped, client.totals.unacknowledged], [64_000, 32_000])
  assert.isTrue(Buffer.concat(client.unacknowledged().map(({ audio }) => audio)).equals(pcm.subarray(64_000)))
  assert.strictEqual(client.totals.unsent, 32_000)
})

it("rejects audio that no server accepts", async () => {
  const { client } = openSender({ url: here.url, key: here.key })
  assert.throws(() => client.send(start, new Uint8Array(3)), /ends within a sample/)
  assert.throws(() => client.send(NaN, new Uint8Array(2)), /no time in Unix seconds/)
  assert.throws(() => client.send(start, new Uint8Array(1024 * 1024)), /more than 1048564/)
  assert.isTrue(await client.ready().then(() => client.send(start, new Int16Array(0))))
})

it("forgets what a user who stores no audio has said, waits for nothing, and is acknowledged when it is stored again", async () => {
  const user = await userOf("unstored")
  const headers = { authorization: `Bearer ${user.key}`, "content-type": "application/json" }
  const store = (store_audio: boolean) =>
    fetch(`${user.url}/v1/users/settings`, { method: "PUT", headers, body: JSON.stringify({ store_audio }) })
  const pcm = noise(6)
  const [unheard, heard] = [pcm.subarray(0, 3 * 32_000), pcm.subarray(3 * 32_000)]
  await store(false)
  const off = openSender(user, { patienceMillis: 500 })
  await sendAll(off.client, unheard)
  const end = await off.client.close({ deadlineMillis: 10_000 })
  assert.deepStrictEqual([end.cause, off.client.totals.dropped], ["complete", unheard.length])
  assert.lengthOf(off.notices, 1)
  const { client, notices, when } = openSender(user, { patienceMillis: 500 })
  await sendAll(client, unheard)
  await when(({ totals }) => totals.dropped === unheard.length)
  await store(true)
  let at = start + 10
  for (; client.totals.acknowledged === 0; at += 0.1) {
    client.send(at, heard.subarray(0, 3_200))
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  await sendAll(client, heard, at)
  assert.strictEqual((await client.close(forever)).cause, "complete")
  assert.isTrue((await played(user)).subarray(-heard.length).equals(heard))
  assert.isFalse((await played(user)).includes(unheard.subarray(0, 1_000)))
  assert.isTrue(notices.every(({ isUnstored }) => isUnstored))
})

it("rejects samples of a Web Audio buffer, which would be heard as noise", () => {
  const { client } = openSender({ url: "http://127.0.0.1:1", key: "k" })
  assert.throws(() => client.send(start, new Float32Array(160)), /Int16Array/)
})

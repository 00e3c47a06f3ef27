/** The capture socket of a real server: what it accepts, and how it rejects. */
import * as Fs from "node:fs"
import { connect } from "node:net"
import * as Path from "node:path"
import { assert, it } from "@effect/vitest"
import { audioFrame, readAck, stream, switchTo } from "../support/Capturer.ts"
import { type CaptureSocketOptions, openCaptureSocket } from "../support/CaptureSocket.ts"
import { exchange } from "../support/RawHttp.ts"
import { fileServer } from "../support/TestServer.ts"

const server = fileServer({
  AUDIO_BYTES: "100 kB",
  FRAMES_PER_SECOND: "50",
  JOURNAL_CHUNKS_PER_USER: "10",
  SEGMENT_BYTES: "300 KiB",
  SPILLWAY_COMMIT_INTERVAL: "50 millis"
})

let users = 0

/** Each socket has a new user: a capture that has just ended counts until its audio is written. */
const open = (query: string, options: CaptureSocketOptions = {}) => {
  const user = query.includes("uid=") ? "" : `${query.includes("?") ? "&" : "?"}uid=user-${++users}`
  return openCaptureSocket(server, { ...options, query: query + user })
}

const frame = (opcode: number, body: Uint8Array = new Uint8Array(0)) => {
  const message = Buffer.alloc(4 + body.length)
  message.writeUInt32LE(opcode, 0)
  message.set(body, 4)
  return message
}

const closeCodeAfter = async (query: string, ...frames: ReadonlyArray<Uint8Array | string>) => {
  const { closed, socket } = await open(query)
  for (const each of frames) socket.send(each)
  return (await closed).code
}

it("rejects an upgrade without a valid key, and accepts the key in each of the three places", async () => {
  assert.strictEqual((await open("", { key: null })).status, 401)
  assert.strictEqual((await open("", { key: "spw_wrong" })).status, 401)
  assert.strictEqual((await open("?access_token=spw_wrong", { key: null })).status, 401)
  const byQuery = await open(`?access_token=${server.key}`, { key: null })
  const byProtocol = await open("", { key: null, protocols: ["spillway", `bearer.${server.key}`] })
  assert.deepStrictEqual([byQuery.status, byProtocol.status, byProtocol.socket.protocol], [101, 101, "spillway"])
  byQuery.socket.close()
  byProtocol.socket.close()
})

it("documents how to send a key on every route", async () => {
  for (const path of ["/v1/keys", "/v1/conversations", "/v1/trigger/listen"]) {
    const response = await fetch(`${server.url}${path}`)
    assert.deepStrictEqual([response.status, response.headers.get("www-authenticate")], [401, "Bearer"], path)
    await response.body?.cancel()
  }
})

it("answers a plain request with 426", async () => {
  const response = await fetch(`${server.url}/v1/trigger/listen`, {
    headers: { authorization: `Bearer ${server.key}` }
  })
  assert.strictEqual(response.status, 426)
  assert.include(response.headers.get("content-type"), "application/problem+json")
})

it("closes with 1008 on a bad query", async () => {
  for (const query of [
    "?sample_rate=7999",
    "?sample_rate=x",
    "?codec=mp3",
    "?codec=opus&sample_rate=44100",
    "?audio_timeline=3",
    "?ack=yes",
    "?client_kind=",
    "?client_kind=a%20b"
  ]) {
    assert.strictEqual(await closeCodeAfter(query), 1008, query)
  }
})

it("closes with 1003 on a message that is not of the protocol", async () => {
  const bad: ReadonlyArray<ReadonlyArray<Uint8Array | string>> = [
    ["text"],
    [Buffer.from([1, 2])],
    [frame(999)],
    [frame(100, Buffer.from("x"))],
    [frame(103)],
    [frame(103, Buffer.from("../etc"))],
    [frame(103, Buffer.alloc(129, "a"))],
    [audioFrame(1, Buffer.alloc(3))],
    [switchTo("c"), audioFrame(1, Buffer.alloc(3))],
    [switchTo("c"), audioFrame(Number.NaN, Buffer.alloc(2))],
    [switchTo("c"), audioFrame(-1, Buffer.alloc(2))],
    [switchTo("c"), frame(101, Buffer.alloc(7))]
  ]
  for (const frames of bad) assert.strictEqual(await closeCodeAfter("", ...frames), 1003, String(frames))
  const packet = Buffer.from("020048ff", "hex")
  for (const bytes of ["0300 48ff", "0000", "0200 4b00", "0400 4b07ffff", "02"]) {
    const cut = Buffer.concat([packet, Buffer.from(bytes.replace(" ", ""), "hex")])
    assert.strictEqual(await closeCodeAfter("?codec=opus", switchTo("c"), audioFrame(1, cut)), 1003, bytes)
  }
})

it("closes with 1009 on a message over the limit, and with 1008 on too many of them", async () => {
  assert.strictEqual(await closeCodeAfter("", switchTo("c"), audioFrame(1, Buffer.alloc(100_002))), 1009)
  const flood = Array.from({ length: 600 }, () => frame(100))
  assert.strictEqual(await closeCodeAfter("", ...flood), 1008)
})

it("closes with 1013 and the reason when a user has too many chunks in the journal", async () => {
  const { closed, messages, socket } = await open("?audio_timeline=2&ack=1")
  socket.send(switchTo("c"))
  for (let at = 1; at <= 11; at++) socket.send(audioFrame(at * 10, Buffer.alloc(2)))
  assert.strictEqual((await closed).code, 1013)
  assert.match(messages.at(-1)?.toString("utf8", 4) ?? "", /"limit".*too many chunks/)
})

it("closes a user's sixth capture with 1013 and a delay, and accepts one when another ends", async () => {
  const five = await Promise.all(Array.from({ length: 5 }, () => open("?uid=many")))
  assert.deepStrictEqual(
    five.map((each) => each.status),
    [101, 101, 101, 101, 101]
  )
  const sixth = await open("?uid=many")
  assert.deepStrictEqual(await sixth.closed, {
    code: 1013,
    reason: "Retry-After: 5; the user has 5 captures, as many as SPILLWAY_CAPTURES_PER_USER allows"
  })
  const another = await open("?uid=another&ack=1&audio_timeline=2")
  await another.until((messages) => messages.length > 0)
  another.socket.close()
  five[0]?.socket.close()
  await five[0]?.closed
  const isTaken = async () => {
    const { closed, messages, socket, until } = await open("?uid=many&audio_timeline=2")
    await Promise.race([closed, until(() => messages.length > 0).catch(() => {})])
    socket.close()
    return messages.length > 0
  }
  while (!(await isTaken()));
  for (const each of five) each.socket.close()
})

it("greets a client with exact spans, and sends acknowledgements only on request", async () => {
  const quiet = await open("?audio_timeline=2")
  quiet.socket.send(switchTo("quiet"))
  quiet.socket.send(audioFrame(1_700_000_000, Buffer.alloc(3200)))
  await quiet.until((messages) => messages.length > 0)
  const asking = await open("?ack=1")
  asking.socket.send(switchTo("asking"))
  asking.socket.send(audioFrame(1_700_000_000, Buffer.alloc(3200)))
  await asking.acknowledged(3200)
  const [first] = asking.messages
  assert.deepStrictEqual(first && readAck(first), { conversation_id: "asking", through: 1_700_000_000.1, bytes: 3200 })
  assert.strictEqual(quiet.messages.length, 1)
  assert.strictEqual(quiet.messages[0]?.readUInt32LE(0), 202)
  assert.strictEqual(quiet.messages[0]?.toString("utf8", 4), `{"type":"audio_timeline_ack","version":2}`)
  quiet.socket.close()
  asking.socket.close()
})

it("loses no sample of a device that sends a hundred times faster than real time", async () => {
  const pcm = Buffer.alloc(16_000 * 2 * 120)
  for (let index = 0; index < pcm.length / 2; index++) pcm.writeInt16LE(((index * 7919) % 65_536) - 32_768, index * 2)
  const recorded = { conversation: "fast", start: 1_700_000_000.25, sampleRate: 16_000, pcm }
  const connections = await stream(recorded, { server: () => server, speed: 100, frameSeconds: 2 })
  assert.strictEqual(connections, 1)
  const body = await fetch(`${server.url}/v1/conversations/fast`, {
    headers: { authorization: `Bearer ${server.key}` }
  })
  const { audio_files: files } = JSON.parse(await body.text())
  const audio = await fetch(`${server.url}/v1/sync/audio/fast/${files[0].id}?format=pcm`, {
    headers: { authorization: `Bearer ${server.key}` }
  })
  assert.isTrue(Buffer.from(await audio.arrayBuffer()).equals(pcm))
})

const handshake = (lines: ReadonlyArray<string>, query = "") =>
  `GET /v1/trigger/listen${query} HTTP/1.1\nHost: x\nAuthorization: Bearer ${server.key}\n${lines.join("\n")}\n\n`
const offer = ["Connection: Upgrade", "Upgrade: websocket"]
const key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
const port = () => Number(new URL(server.url).port)

it("closes the connection of an upgrade that it rejects", async () => {
  const request = handshake([...offer, "Sec-WebSocket-Version: 13", key]).replace(server.key, "spw_wrong")
  const { headers, isWhole, status } = await exchange(port(), request)
  assert.deepStrictEqual([status, isWhole, headers["connection"]], [401, true, "close"])
})

it("answers an invalid handshake with a problem that says why", async () => {
  for (const lines of [
    [...offer, key, "Sec-WebSocket-Version: 7"],
    [...offer, "Sec-WebSocket-Version: 13"]
  ]) {
    const { body, headers, status } = await exchange(port(), handshake(lines))
    assert.deepStrictEqual([status, headers["connection"]], [400, "close"])
    assert.strictEqual(headers["content-type"], "application/problem+json")
    assert.match(JSON.parse(body.toString()).detail, /Sec-WebSocket-/)
  }
})

it("answers an upgrade to another protocol and an incomplete offer as an ordinary request", async () => {
  for (const lines of [
    ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"],
    ["Upgrade: websocket", "Sec-WebSocket-Version: 13", key]
  ]) {
    const { headers, isWhole, status } = await exchange(port(), handshake(lines))
    assert.deepStrictEqual([status, isWhole, headers["connection"]], [426, true, "keep-alive"])
  }
})

it("receives messages that arrive in one packet with the handshake", async () => {
  const messages = [switchTo("early"), audioFrame(1_700_000_000, Buffer.alloc(32))]
  const frames = messages.flatMap((message) => [Buffer.from([0x82, 0x80 | message.length, 0, 0, 0, 0]), message])
  const socket = connect(port(), "127.0.0.1")
  const head = handshake([...offer, "Sec-WebSocket-Version: 13", key], "?ack=1&uid=early").replaceAll("\n", "\r\n")
  socket.write(Buffer.concat([Buffer.from(head), ...frames]))
  let text = ""
  await new Promise<void>((resolve, reject) => {
    socket.on("data", (part) => (text += part.toString("latin1")).includes(`"bytes":32`) && resolve())
    socket.on("close", () => reject(new Error(text)))
  })
  socket.destroy()
  assert.match(text, /^HTTP\/1\.1 101 /)
})

const jsonOf = (message: Buffer) => JSON.parse(message.toString("utf8", 4))

const noise = (samples: number, seed: number) => {
  const pcm = Buffer.alloc(samples * 2)
  for (let index = 0, value = seed; index < samples; index++) {
    value = (Math.imul(value, 1_103_515_245) + 12_345) & 0x7fff_ffff
    pcm.writeInt16LE((value >> 12) % 30_000, index * 2)
  }
  return pcm
}

/** A user's conversation and its audio, over HTTP. */
const playback = async (uid: string, conversation: string) => {
  const get = (path: string) =>
    fetch(`${server.url}${path}uid=${uid}`, { headers: { authorization: `Bearer ${server.key}` } })
  const body = await (await get(`/v1/conversations/${conversation}?`)).text()
  const { audio_files: files, clock_shifts: shifts } = JSON.parse(body)
  const audio = await get(`/v1/sync/audio/${conversation}/${files[0].id}?format=pcm&`)
  return { shifts, files: files.length, pcm: Buffer.from(await audio.arrayBuffer()) }
}

it("keeps audio whose stamp stands still, and sends its clock shift at most once a second", async () => {
  const uid = `user-${++users}`
  const { acknowledged, messages, socket } = await open(`?audio_timeline=2&ack=1&uid=${uid}`)
  const pcm = noise(16_000 * 3, 1)
  socket.send(switchTo("stuck"))
  for (let at = 0; at < pcm.length; at += 3200) socket.send(audioFrame(1_700_000_000, pcm.subarray(at, at + 3200)))
  await acknowledged(pcm.length)
  const notices = messages.filter((message) => message.readUInt32LE(0) === 204).map(jsonOf)
  assert.deepInclude(notices[0], { type: "clock", shift: 0.1 })
  assert.isBelow(notices.length, 10)
  socket.close()
  const played = await playback(uid, "stuck")
  assert.deepStrictEqual([played.shifts, played.files], [1, 1])
  assert.isTrue(played.pcm.equals(pcm))
})

it("closes the earlier of a conversation's two sockets with 1008, and plays what both sent once", async () => {
  const uid = `user-${++users}`
  const query = `?audio_timeline=2&ack=1&uid=${uid}`
  const [first, second] = [noise(16_000, 2), noise(16_000, 3)]
  const earlier = await open(query)
  earlier.socket.send(switchTo("both"))
  earlier.socket.send(audioFrame(1_700_000_000, first))
  await earlier.acknowledged(first.length)
  const later = await open(query)
  later.socket.send(switchTo("both"))
  later.socket.send(audioFrame(1_700_000_000.5, first.subarray(16_000)))
  later.socket.send(audioFrame(1_700_000_000.25, second))
  const { code, reason } = await earlier.closed
  assert.deepStrictEqual([code, reason], [1008, "another socket continues this conversation"])
  await later.acknowledged(16_000 + second.length)
  assert.isTrue((await playback(uid, "both")).pcm.equals(Buffer.concat([first, second])))
  later.socket.close()
})

it("is not ready while the journal can't be written, and accepts audio again when it can", async () => {
  const ready = () => fetch(`${server.url}/health/ready`)
  const journal = Path.join(server.dataDir, "journal")
  Fs.renameSync(journal, `${journal}.away`)
  const failed = await open("?audio_timeline=2&ack=1")
  failed.socket.send(switchTo("large"))
  for (let second = 0; second < 8; second++)
    failed.socket.send(audioFrame(1_700_000_000 + second * 2.5, Buffer.alloc(80_000, 1)))
  assert.strictEqual((await failed.closed).code, 1011)
  const response = await ready()
  assert.strictEqual(response.status, 503)
  assert.deepStrictEqual(
    JSON.parse(await response.text()).failing.map(({ name }: { readonly name: string }) => name),
    ["journal"]
  )
  Fs.renameSync(`${journal}.away`, journal)
  const again = await open("?audio_timeline=2&ack=1")
  again.socket.send(switchTo("again"))
  again.socket.send(audioFrame(1_700_000_000, Buffer.alloc(32_000, 1)))
  await again.acknowledged(32_000)
  assert.strictEqual((await ready()).status, 200)
  again.socket.close()
})

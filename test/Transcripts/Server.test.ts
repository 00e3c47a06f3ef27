/** `src/Transcripts.ts` on real servers: from the socket to the page, over a stop, a kill, an outage of the database, and on a second node. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert, it } from "@effect/vitest"
import { audioFrame, switchTo } from "../support/Capturer.ts"
import { openCaptureSocket } from "../support/CaptureSocket.ts"
import { fileServer, testDirectory, testServer } from "../support/TestServer.ts"

const env = { SPILLWAY_COMMIT_INTERVAL: "20 millis" }
const server = fileServer(env)

type At = Pick<typeof server, "url" | "key">

const second = Buffer.alloc(32_000, 1)
const start = 1_700_000_000

const transcript = (segments: ReadonlyArray<object>, memory_id: string | null = null) => {
  const head = Buffer.alloc(4)
  head.writeUInt32LE(102)
  return Buffer.concat([head, Buffer.from(JSON.stringify({ segments, memory_id }))])
}

const open = (uid: string, at: At = server) => openCaptureSocket(at, { query: `?ack=1&audio_timeline=2&uid=${uid}` })

const request = (path: string, at: At = server, init: RequestInit = {}) =>
  fetch(`${at.url}/v1/conversations/${path}`, {
    ...init,
    headers: { authorization: `Bearer ${at.key}`, ...init.headers }
  })

const json = async (path: string, at: At = server) => JSON.parse(await (await request(path, at)).text())

interface Segment {
  readonly id: string
  readonly start: number
  readonly text?: string
}

const idsOf = ({ segments }: { readonly segments: ReadonlyArray<Segment> }) => segments.map(({ id }) => id)

/** Waits until the transcript has these segments. */
const until = async (path: string, ids: ReadonlyArray<string>, at: At = server) => {
  for (;;) {
    const response = await request(path, at).catch(() => undefined)
    const found = response?.status === 200 ? JSON.parse(await response.text()) : { segments: [] }
    if (JSON.stringify(idsOf(found)) === JSON.stringify(ids)) return found
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

/** The events of a response, one by one. */
async function* events(response: Response) {
  let text = ""
  for await (const piece of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    text += piece
    const parts = text.split("\n\n")
    text = parts.pop() ?? ""
    for (const part of parts) {
      const of = (name: string) =>
        part
          .split("\n")
          .find((line) => line.startsWith(`${name}:`))
          ?.slice(name.length + 1)
          .trim() ?? ""
      if (of("data") !== "") yield { id: of("id"), segments: JSON.parse(of("data")).segments as ReadonlyArray<Segment> }
    }
  }
}

it("stores what sockets send, by the conversation of the message or the socket, and returns it in pages by time", async () => {
  const { acknowledged, closed, socket } = await open("ada")
  socket.send(switchTo("talk"))
  socket.send(transcript([{ id: "b", start: 2, text: "two" }]))
  socket.send(transcript([{ id: "x", start: 0, text: "elsewhere", mood: { calm: true } }], "other"))
  socket.send(
    transcript([
      { id: "a", start: 1, text: "one" },
      { id: "c", start: 3, text: "thre" }
    ])
  )
  socket.send(transcript([{ id: "c", start: 3, text: "three" }]))
  for (const broken of ["{", "[]", '{"segments":{}}'])
    socket.send(Buffer.concat([transcript([]).subarray(0, 4), Buffer.from(broken)]))
  socket.send(audioFrame(start, second))
  // What follows transcripts is recorded, in the conversation that was selected.
  await acknowledged(second.length)
  socket.close()
  await closed
  const all = await until("talk/transcript?uid=ada", ["a", "b", "c"])
  assert.deepStrictEqual(all.segments[2], { id: "c", start: 3, text: "three" })
  assert.isNull(all.next)
  const first = await json("talk/transcript?uid=ada&limit=2")
  assert.deepStrictEqual(idsOf(first), ["a", "b"])
  const rest = await json(`talk/transcript?uid=ada&limit=2&after=${encodeURIComponent(first.next)}`)
  assert.deepStrictEqual([idsOf(rest), rest.next], [["c"], null])
  assert.deepStrictEqual(idsOf(await json("talk/transcript?uid=ada&from=1.5")), ["b", "c"])
  const other = await until("other/transcript?uid=ada", ["x"])
  assert.deepStrictEqual(other.segments[0], { id: "x", start: 0, text: "elsewhere", mood: { calm: true } })
  assert.strictEqual((await json("talk?uid=ada")).audio_files.length, 1)
  for (const foreign of ["talk/transcript?uid=eve", "talk/transcript/events?uid=eve", "none/transcript?uid=ada"])
    assert.strictEqual((await request(foreign)).status, 404, foreign)
  for (const bad of ["limit=0", "limit=501", "after=x", "from=x"])
    assert.strictEqual((await request(`talk/transcript?uid=ada&${bad}`)).status, 400, bad)
})

it("sends changes as events, and resumes after the last one that a reader has seen", async () => {
  const { socket } = await open("grace")
  socket.send(switchTo("live"))
  socket.send(transcript([{ id: "a", start: 0, text: "one" }]))
  await until("live/transcript?uid=grace", ["a"])
  const page = await json("live/transcript?uid=grace")
  const response = await request(`live/transcript/events?uid=grace&since=${page.revision}`)
  assert.include(response.headers.get("content-type"), "text/event-stream")
  const stream = events(response)
  assert.deepStrictEqual((await stream.next()).value, { id: String(page.revision), segments: [] })
  socket.send(transcript([{ id: "b", start: 1, text: "two" }]))
  const heard = (await stream.next()).value
  assert.deepStrictEqual(heard?.segments, [{ id: "b", start: 1, text: "two" }])
  await stream.return(undefined)
  socket.send(
    transcript([
      { id: "a", start: 0, text: "changed" },
      { id: "c", start: 2, text: "three" }
    ])
  )
  await until("live/transcript?uid=grace", ["a", "b", "c"])
  const again = events(
    await request("live/transcript/events?uid=grace&since=0", server, { headers: { "last-event-id": heard?.id ?? "" } })
  )
  assert.deepStrictEqual((await again.next()).value?.segments, [
    { id: "a", start: 0, text: "changed" },
    { id: "c", start: 2, text: "three" }
  ])
  await again.return(undefined)
  socket.close()
})

it("deletes the transcript with its conversation", async () => {
  const { socket } = await open("mary")
  socket.send(switchTo("gone"))
  socket.send(transcript([{ id: "a", start: 0 }]))
  await until("gone/transcript?uid=mary", ["a"])
  socket.close()
  assert.strictEqual((await request("gone?uid=mary", server, { method: "DELETE" })).status, 202)
  while ((await request("gone/transcript?uid=mary")).status !== 404)
    await new Promise((resolve) => setTimeout(resolve, 50))
})

it("stores what it has received when it stops, and keeps what is stored when it is killed", async () => {
  const dataDir = testDirectory()
  const first = await testServer(env, dataDir)
  const { closed, socket } = await open("ada", first)
  socket.send(switchTo("talk"))
  socket.send(transcript([{ id: "a", start: 0 }]))
  await until("talk/transcript?uid=ada", ["a"], first)
  const received = await open("ada", first)
  received.socket.send(transcript([{ id: "b", start: 1 }], "talk"))
  received.socket.close()
  await received.closed
  assert.strictEqual(await first.stop(), 0)
  assert.strictEqual((await closed).code, 1001)
  const second = await testServer(env, dataDir)
  await until("talk/transcript?uid=ada", ["a", "b"], second)
  const { socket: again } = await open("ada", second)
  again.send(transcript([{ id: "c", start: 2 }], "talk"))
  await until("talk/transcript?uid=ada", ["a", "b", "c"], second)
  await second.kill()
  const third = await testServer(env, dataDir)
  await until("talk/transcript?uid=ada", ["a", "b", "c"], third)
})

const segmentAt = (n: number) => ({ id: `s-${n}`, start: n })
const idsNow = (count: number) => Array.from({ length: count }, (_, n) => `s-${n}`)

it("loses only the last messages when it is killed, and no part of one", async () => {
  const dataDir = testDirectory()
  const seen = { count: 0 }
  const sentAt: Array<number> = []
  let node = await testServer(env, dataDir)
  for (const least of [20, 60, 100]) {
    const { socket } = await open("ada", node)
    socket.send(switchTo("talk"))
    await until("talk/transcript?uid=ada&limit=500", idsNow(seen.count), node)
    sentAt.length = seen.count / 2
    while (
      idsOf(await json("talk/transcript?uid=ada&limit=500", node).catch(() => ({ segments: [] }))).length < least
    ) {
      socket.send(transcript([segmentAt(sentAt.length * 2), segmentAt(sentAt.length * 2 + 1)]))
      sentAt.push(performance.now())
      // Slower than what slides out of the queue.
      await new Promise((resolve) => setTimeout(resolve, 40))
    }
    await node.kill()
    const killedAt = performance.now()
    node = await testServer(env, dataDir)
    const kept = idsOf(await json("talk/transcript?uid=ada&limit=500", node))
    assert.deepStrictEqual(kept, idsNow(kept.length))
    assert.isAtLeast(kept.length, least)
    assert.strictEqual(kept.length % 2, 0)
    // Each second, and a late second beside other tests.
    const due = sentAt.filter((at) => at < killedAt - 4_000).length
    assert.isAtLeast(kept.length / 2, due)
    seen.count = kept.length
  }
})

const urlOf = (dataDir: string) => {
  const [password, sockets] = [
    Fs.readFileSync(Path.join(dataDir, "postgres/password"), "utf8"),
    Path.join(dataDir, "postgres/run")
  ]
  return `postgres://spillway:${encodeURIComponent(password)}@/postgres?host=${encodeURIComponent(sockets)}&port=5432`
}

it("shows on each node what others receive, and waits for a database that is down, counting what slides out", async () => {
  const dataDir = testDirectory()
  const owner = await testServer(env, dataDir)
  const node = await testServer({ ...env, DATABASE_URL: urlOf(dataDir), SPILLWAY_ADMIN_KEY: owner.key })
  const { acknowledged, socket } = await open("ada", node)
  socket.send(switchTo("talk"))
  socket.send(audioFrame(start, second))
  await acknowledged(second.length)
  const stream = events(await request("talk/transcript/events?uid=ada", owner))
  await stream.next()
  socket.send(transcript([{ id: "first", start: 0 }]))
  assert.deepStrictEqual((await stream.next()).value?.segments, [{ id: "first", start: 0 }])
  await until("talk/transcript?uid=ada", ["first"], owner)
  const captures = async () => {
    const response = await fetch(`${node.url}/v1/captures`, { headers: { authorization: `Bearer ${node.key}` } })
    return JSON.parse(await response.text()).captures[0]
  }
  assert.strictEqual((await captures()).dropped_segments, 0)
  await stream.return(undefined)
  await owner.stop()
  socket.send(transcript([{ id: "down", start: 1 }]))
  const failed = "transcripts could not be delivered"
  while (!node.output().includes(failed)) await new Promise((resolve) => setTimeout(resolve, 50))
  for (let n = 0; n < 60; n++) socket.send(transcript([{ id: `later-${String(n).padStart(2, "0")}`, start: 2 + n }]))
  // Audio is acknowledged meanwhile.
  socket.send(audioFrame(start + 1, second))
  await acknowledged(2 * second.length)
  const again = await testServer(env, dataDir)
  const kept = Array.from({ length: 50 }, (_, n) => `later-${n + 10}`)
  await until("talk/transcript?uid=ada", ["first", "down", ...kept], again)
  assert.strictEqual((await captures()).dropped_segments, 10)
  const metrics = await (await fetch(`${node.url}/metrics`)).text()
  assert.match(metrics, /^spillway_live_dropped_segments_total\{[^}]*sink="transcripts"[^}]*\} 10$/m)
  assert.match(metrics, /^spillway_transcript_segments_total(\{[^}]*\})? 52$/m)
  socket.close()
})

/** The captures of a real server, as an operator and as a user see them. */
import { assert, beforeAll, it } from "@effect/vitest"
import * as Json from "../../src/Web/Page/Json.ts"
import { troublesOf } from "../../src/Web/Page/Live/Alarm.ts"
import { capturesSnapshot } from "../../src/Web/Page/Model.ts"
import { stream } from "../support/Capturer.ts"
import { fileServer } from "../support/TestServer.ts"

interface Now {
  readonly at: string
  readonly total: number
  readonly captures: ReadonlyArray<Record<string, unknown>>
  readonly node: {
    readonly bounds: ReadonlyArray<{ readonly name: string; readonly used: number; readonly limit: number }>
    readonly troubles: ReadonlyArray<{ readonly name: string; readonly count: number }>
    readonly memory: { readonly rss: number }
  } | null
}

const server = fileServer({
  SPILLWAY_CAPTURE_VIEWERS: "2",
  SPILLWAY_CAPTURE_VIEWERS_PER_USER: "1",
  SPILLWAY_COMMIT_INTERVAL: "50 millis"
})
let ada = ""

const ask = (path: string, key: string, more: RequestInit = {}) =>
  fetch(`${server.url}/v1/${path}`, { ...more, headers: { authorization: `Bearer ${key}`, ...more.headers } })

const now = async (key: string, query = ""): Promise<Now> =>
  JSON.parse(await (await ask(`captures${query}`, key)).text())

/** The events of a stream, one by one. */
async function* events(response: Response): AsyncGenerator<Now> {
  let text = ""
  for await (const piece of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    text += piece
    const parts = text.split("\n\n")
    text = parts.pop() ?? ""
    for (const part of parts) {
      const data = part.split("\n").filter((line) => line.startsWith("data:"))
      if (data.length > 0) yield JSON.parse(data.map((line) => line.slice(5)).join("\n"))
    }
  }
}

beforeAll(async () => {
  const created = await ask("keys", server.key, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ uid: "ada" })
  })
  ada = JSON.parse(await created.text()).key
})

it("sends each capture's rate and lags once a second, to a user only the user's own", async () => {
  const speak = (conversation: string, uid: string, seconds: number) =>
    stream(
      { conversation, start: 1_700_000_000, sampleRate: 16_000, pcm: Buffer.alloc(seconds * 32_000) },
      { server: () => server, uid }
    )
  const streaming = [speak("talk", "ada", 6), speak("lecture", "grace", 6)]
  const abort = new AbortController()
  const response = await ask("captures/events", server.key, { signal: abort.signal })
  assert.include(response.headers.get("content-type"), "text/event-stream")
  let seen = 0
  const times: Array<number> = []
  for await (const each of events(response)) {
    times.push(Date.parse(each.at))
    const talk = each.captures.find(({ conversation }) => conversation === "talk")
    const rate = Number(talk?.["bytes_per_second"] ?? 0)
    // A delayed sender catches up, so its rate is right a moment later.
    if (talk === undefined || each.total !== 2 || rate < 20_000 || rate > 45_000 || Number(talk["ack_lag"]) > 2)
      continue
    assert.include(talk, { uid: "ada", sample_rate: 16_000, codec: "pcm16", queued: 0, deferred: 0, upload_lag: 0 })
    if (++seen >= 2 && times.length >= 4) break
  }
  const gaps = times.slice(1).map((at, index) => at - (times[index] ?? 0))
  const gap = gaps.toSorted((a, b) => a - b)[Math.floor(gaps.length / 2)] ?? 0
  assert.isAtLeast(gap, 700)
  assert.isBelow(gap, 3000)
  const [all, his, hers, admins] = [
    await now(server.key),
    await now(ada),
    await now(ada),
    await now(server.key, "?uid=grace")
  ]
  assert.deepStrictEqual([all.total, his.total, hers.captures[0]?.["conversation"], his.node], [2, 1, "talk", null])
  assert.strictEqual(admins.captures[0]?.["conversation"], "lecture")
  assert.strictEqual((await ask("captures?uid=grace", ada)).status, 403)
  abort.abort()
  await Promise.all(streaming)
})

it("sends the use of every bound of the node, and counts drops, deferrals and rejections", async () => {
  const { node } = await now(server.key)
  const names = node?.bounds.map(({ name }) => name)
  assert.includeMembers(
    [...(names ?? [])],
    ["captures", "journal", "uploads", "storage.read", "storage.write", "live views", "audio responses", "precache"]
  )
  for (const { limit, name, used } of node?.bounds ?? []) assert.isTrue(used >= 0 && limit >= 1 && used <= limit, name)
  const troubles = node?.troubles.map(({ name }) => name)
  assert.includeMembers([...(troubles ?? [])], ["chunks deferred", "merges failed", "merges given up"])
  assert.isAbove(node?.memory.rss ?? 0, 10_000_000)
})

it("rejects a view over the bound of the user or the node, and accepts one when another ends", async () => {
  const views = [
    { key: server.key, abort: new AbortController() },
    { key: ada, abort: new AbortController() }
  ]
  const refusal = async () => {
    const refused = await ask("captures/events", server.key)
    return [refused.status, refused.headers.get("retry-after"), JSON.parse(await refused.text()).detail]
  }
  const refusals: Array<unknown> = []
  for (const { abort, key } of views) {
    const first = await events(await ask("captures/events", key, { signal: abort.signal })).next()
    assert.isFalse(first.done)
    refusals.push(await refusal())
  }
  assert.deepStrictEqual(refusals, [
    [429, "5", "A user may have 1 at once (SPILLWAY_CAPTURE_VIEWERS_PER_USER). End one, and try again."],
    [503, "5", "It allows 2 at once (SPILLWAY_CAPTURE_VIEWERS). Try another node, or try again later."]
  ])
  views[0]?.abort.abort()
  let status = 429
  while (status !== 200) {
    const again = await ask("captures/events", server.key)
    status = again.status
    await again.body?.cancel()
  }
  assert.strictEqual(status, 200)
  views[1]?.abort.abort()
})

it("needs a key", async () => {
  assert.strictEqual((await ask("captures", "spw_no")).status, 401)
  assert.strictEqual((await ask("captures/events", "spw_no")).status, 401)
})

it("counts nothing that the page has no advice for", async () => {
  const found = Json.parse(capturesSnapshot, await (await ask("captures", server.key)).text())
  assert.isNotNull(found.node)
  if (found.node === null) return
  const troubles = found.node.troubles.map(({ name }) => ({ name, count: 1 }))
  const state = {
    state: "connected",
    message: "",
    now: { ...found, node: { ...found.node, troubles } },
    history: []
  } as const
  assert.deepStrictEqual(
    troublesOf(state).filter(({ advice }) => advice === ""),
    []
  )
  assert.lengthOf(troublesOf(state), troubles.length)
})

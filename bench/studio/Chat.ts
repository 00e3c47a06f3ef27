/** Pages of a chat of ten million messages, and what is posted on its way to 200 sockets. */
import * as fs from "node:fs"
import * as path from "node:path"
import { Duration, Effect } from "effect"
import { SqlClient } from "effect/sql"
import { WebSocket } from "ws"
import { MessageRows } from "../../src/Chat/MessageRows.ts"
import { dataDirectory, startServer } from "../../test/support/Server.ts"
import { pause, quantile, round } from "../Measurement.ts"
import { medianOfRounds, pageMillis, pagesPerSecond } from "./Pages.ts"

export const layer = MessageRows.layer

const pageSize = 50

/** Most messages are in one room. A tenth is deleted. */
const fill = (count: number) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`alter table chat_messages drop constraint chat_messages_pkey`
    yield* sql`drop index chat_messages_visible, chat_messages_of_broadcast, chat_messages_of_user`
    yield* sql`
      insert into chat_messages (stream_id, id, uid, text, nonce, created_at, deleted_at)
      select case when n % 10 = 0 then 2 else 1 end, n, 'u' || n % 10000, repeat('word ', (n % 20)::int + 1), 'n',
             now() - interval '1 day', case when n % 13 = 0 then now() end
      from generate_series(1, ${count}::bigint) as n`
    yield* sql`alter table chat_messages add primary key (stream_id, id)`
    yield* sql`create index chat_messages_visible on chat_messages (stream_id, (id + 0) desc) where deleted_at is null`
    yield* sql`vacuum analyze chat_messages`
  })

export const pages = (quick: boolean) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* MessageRows
    const count = quick ? 500_000 : 10_000_000
    const [filling] = yield* Effect.timed(fill(count))
    const page = (before: number | undefined) => rows.page(1, { before, after: undefined, limit: pageSize + 1 })
    const [row] = yield* sql<{ readonly count: number }>`
      select count(*)::float8 as count from chat_messages where stream_id = 1 and deleted_at is null`
    const deepest = (row?.count ?? 0) - pageSize - 1
    const peer = (depth: number) => sql`
      select id, uid, text, created_at from chat_messages where stream_id = 1 and deleted_at is null
      order by id desc offset ${depth} limit ${pageSize}`
    const oldest = 100
    const seconds = quick ? 1 : 3
    const measured = Effect.gen(function* () {
      return {
        first: yield* pagesPerSecond(() => page(undefined), seconds),
        anywhere: yield* pagesPerSecond((n) => page(oldest + ((n * 7_919_993) % (count - oldest))), seconds),
        firstMs: yield* pageMillis(page(undefined), 200),
        deepestMs: yield* pageMillis(page(oldest), 200),
        offsetDeepestMs: yield* pageMillis(peer(deepest), 3)
      }
    })
    const of = yield* medianOfRounds(measured)
    return {
      messages: count,
      chatPagesPerSecond: round(of("first"), 0),
      chatPagesAnywherePerSecond: round(of("anywhere"), 0),
      chatDepthRatio: round(of("deepestMs") / of("firstMs")),
      chatVsOffset: round(of("offsetDeepestMs") / of("deepestMs"), 0),
      chatFillSeconds: round(Duration.toSeconds(filling), 1)
    }
  })

const sockets = 200
const posters = 50
const rest = "/api/v1/studio/streams"

/** Each of 50 users posts once a second. Milliseconds from the sending of a message to its receipt by each of 200 sockets. */
export const fanout = async (quick: boolean) => {
  const directory = dataDirectory()
  const server = await startServer(directory, {
    CHAT_ATTEMPTS_PER_MINUTE: "100000",
    CHAT_SOCKETS_PER_ADDRESS: "1000",
    CHAT_SOCKETS_PER_STREAM: "1000"
  })
  const call = async (target: string, body: object) => {
    const headers = { authorization: `Bearer ${server.key}`, "content-type": "application/json" }
    const response = await fetch(server.url + target, { method: "POST", headers, body: JSON.stringify(body) })
    return JSON.parse(await response.text())
  }
  const sent: Array<number> = []
  const lags: Array<number> = []
  let received = 0
  const opened: Array<WebSocket> = []
  const open = (key?: string) =>
    new Promise<WebSocket>((resolve, reject) => {
      const headers = key === undefined ? {} : { authorization: `Bearer ${key}` }
      const socket = new WebSocket(`${server.url.replace("http", "ws")}${rest}/bench/chat`, { headers })
      socket.on("message", (data: Buffer) => {
        const frame = data.toString()
        if (frame.startsWith('{"type":"hello"')) return resolve(socket)
        const n = /^\{"type":"message".*"text":"(\d+)"/.exec(frame)?.[1]
        if (n === undefined) return
        received++
        lags.push(performance.now() - (sent[Number(n)] ?? NaN))
      })
      socket.on("error", reject)
      opened.push(socket)
    })
  try {
    await call(rest, { slug: "bench", title: "Bench" })
    const users: Array<WebSocket> = []
    for (let n = 0; n < posters; n++) users.push(await open((await call("/v1/keys", { uid: `u${n}` })).key))
    await Promise.all(Array.from({ length: sockets - posters }, () => open()))
    const warmUp = quick ? 50 : 250
    const count = warmUp + (quick ? 250 : 1_000)
    const began = performance.now()
    for (let n = 0; n < count; n++) {
      while (performance.now() - began < (n * 1_000) / posters) await pause(2)
      sent.push(performance.now())
      users[n % posters]?.send(JSON.stringify({ type: "post", nonce: `n${n}`, text: String(n) }))
      if (n === warmUp) lags.length = 0
    }
    const isOver = () => received === count * sockets
    for (let tick = 0; tick < 1_000 && !isOver(); tick++) await pause(10)
    return {
      fanoutP50Ms: round(quantile(lags, 0.5), 1),
      fanoutP99Ms: round(quantile(lags, 0.99), 1),
      fanoutMissing: count * sockets - received
    }
  } finally {
    for (const socket of opened) socket.terminate()
    await server.stop()
    fs.rmSync(path.dirname(directory), { recursive: true, force: true })
  }
}

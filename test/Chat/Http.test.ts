/** `src/Chat/Http.ts` of a real server: messages and their moderation, and slow readers of `src/Chat/Socket.ts`. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { assert, beforeAll, describe, test } from "vitest"
import { embeddedDatabase } from "../support/EmbeddedDatabase.ts"
import { fileServer } from "../support/TestServer.ts"
import { call, keyOf, openChat, path } from "./support/ChatClient.ts"

const server = fileServer({ CHAT_ATTEMPTS_PER_MINUTE: "100000", CHAT_QUEUE: "5" })

const keys: Record<string, string> = {}
beforeAll(async () => {
  for (const uid of ["owner", "ada", "bob", "mod"]) keys[uid] = await keyOf(server, uid)
})

let streams = 0
/** A stream of `owner`. */
const stream = async (fields: object = {}) => {
  const slug = `chat-${++streams}`
  const made = await call(server, "POST", path, { key: keys["owner"] ?? "", body: { slug, title: "T", ...fields } })
  assert.strictEqual(made.status, 201)
  const target = `${path}/${slug}/chat`
  return {
    slug,
    target,
    as: (uid: string | null, method: string, rest: string, body?: unknown) =>
      call(server, method, `${target}/${rest}`, { key: uid === null ? null : (keys[uid] ?? ""), body })
  }
}
type Stream = Awaited<ReturnType<typeof stream>>

const post = async (chat: Stream, uid: string, text: string) => (await chat.as(uid, "POST", "messages", { text })).body
const textsOf = (page: { readonly messages: ReadonlyArray<{ readonly text: string }> }) =>
  page.messages.map(({ text }) => text)

describe("Messages", () => {
  test("are trimmed, kept as they are typed, and paged newest first", async () => {
    const chat = await stream()
    const markup = `<script>alert("1")</script> & 'x' \u{1f600}`
    const made = await chat.as("ada", "POST", "messages", { text: `  ${markup}\n` })
    assert.strictEqual(made.status, 201)
    const { created_at: created, ...rest } = made.body
    assert.isTrue(Math.abs(Date.parse(created) - Date.now()) < 60_000)
    assert.deepStrictEqual(rest, { id: 1, uid: "ada", text: markup, broadcast_id: null, stream_offset_ms: null })
    for (const text of ["2", "3", "4", "5"]) await post(chat, "bob", text)
    const first = await chat.as(null, "GET", "messages?limit=2")
    assert.deepStrictEqual(textsOf(first.body), ["5", "4"])
    const { messages: _, ...page } = first.body
    assert.deepStrictEqual(page, { total: null, has_more: true, before_id: 4, after_id: null, from_offset_ms: null })
    const second = await chat.as(null, "GET", "messages?before_id=4&limit=3")
    assert.deepStrictEqual(textsOf(second.body), ["3", "2", markup])
    assert.isFalse(second.body.has_more)
    assert.isNull(second.body.before_id)
    const forward = await chat.as(null, "GET", "messages?after_id=1&limit=2")
    assert.deepStrictEqual(textsOf(forward.body), ["2", "3"])
    assert.strictEqual(forward.body.after_id, 3)
    assert.deepStrictEqual(textsOf((await chat.as(null, "GET", "messages?before_id=1")).body), [])
  })

  test("are rejected with the field that is wrong", async () => {
    const chat = await stream()
    const bad = [
      "limit=0",
      "limit=101",
      "limit=-1",
      "limit=1.5",
      "limit=x",
      "before_id=0",
      "before_id=99999999999999999999"
    ]
    for (const query of [
      ...bad,
      "before_id=1e3x",
      "after_id=-1",
      "broadcast=0",
      "from_offset_ms=1",
      "to_offset_ms=1"
    ]) {
      const { body, status } = await chat.as(null, "GET", `messages?${query}`)
      assert.strictEqual(status, 400, query)
      assert.deepStrictEqual(body.errors[0].path, ["query", query.split("=")[0]], query)
    }
    assert.strictEqual((await chat.as(null, "GET", "messages?broadcast=1&before_id=1")).status, 400)
    for (const text of [
      "",
      "  \n ",
      "x".repeat(501),
      "\u{1f600}".repeat(501),
      "nul \u0000",
      "bell \u0007",
      "half \ud83d"
    ]) {
      const { body, status } = await chat.as("ada", "POST", "messages", { text })
      assert.strictEqual(status, 422, JSON.stringify(text))
      assert.deepStrictEqual(body.errors[0].path, ["body", "text"])
    }
    for (const text of ["x".repeat(500), "\u{1f600}".repeat(500), ` ${"y".repeat(500)} `])
      assert.strictEqual((await chat.as("ada", "POST", "messages", { text })).status, 201)
    for (const body of [{}, { text: 1 }, { text: "x", more: 1 }, { text: "x", nonce: "" }, { text: "x", nonce: "a b" }])
      assert.strictEqual((await chat.as("ada", "POST", "messages", body)).status, 400)
    assert.strictEqual((await chat.as(null, "POST", "messages", { text: "x" })).status, 401)
    for (const slug of ["no-such-stream", "%00", "a%00b", "%F0%9F%98%80", "x".repeat(300)]) {
      assert.strictEqual((await call(server, "GET", `${path}/${slug}/chat/messages`, { key: null })).status, 404)
      assert.strictEqual((await call(server, "PUT", `${path}/${slug}/chat/bans/bob`, { body: {} })).status, 404)
    }
  })

  test("that are sent again with their nonce are posted once", async () => {
    const chat = await stream()
    const [first, again] = [
      await chat.as("ada", "POST", "messages", { text: "once", nonce: "n1" }),
      await chat.as("ada", "POST", "messages", { text: "once", nonce: "n1" })
    ]
    assert.deepStrictEqual(again, first)
    assert.lengthOf((await chat.as(null, "GET", "messages")).body.messages, 1)
    await chat.as("bob", "POST", "messages", { text: "another user's", nonce: "n1" })
    assert.lengthOf((await chat.as(null, "GET", "messages")).body.messages, 2)
  })

  test("are deleted by their author, the owner and moderators who may, and by nobody else", async () => {
    const chat = await stream()
    const ids: Array<number> = []
    for (const text of ["1", "2", "3", "4"]) ids.push((await post(chat, "ada", text)).id)
    const remove = async (uid: string, id: number | undefined) =>
      (await chat.as(uid, "DELETE", `messages/${id}`)).status
    assert.strictEqual(await remove("bob", ids[0]), 403)
    await chat.as("owner", "PUT", "moderators/mod", { permissions: ["timeout"] })
    assert.strictEqual(await remove("mod", ids[0]), 403)
    await chat.as("owner", "PUT", "moderators/mod", { permissions: ["delete"] })
    assert.strictEqual(await remove("mod", ids[0]), 204)
    assert.strictEqual(await remove("ada", ids[1]), 204)
    assert.strictEqual(await remove("ada", ids[1]), 204)
    assert.strictEqual(await remove("owner", ids[2]), 204)
    assert.strictEqual(await remove("ada", 99), 404)
    assert.strictEqual(await remove("ada", 0), 400)
    assert.deepStrictEqual(textsOf((await chat.as(null, "GET", "messages")).body), ["4"])
  })
})

describe("A room", () => {
  test("in slow mode asks readers to wait, and neither its owner nor its moderators", async () => {
    const chat = await stream({ chat: { slow_mode_seconds: 60 } })
    await chat.as("owner", "PUT", "moderators/mod", { permissions: [] })
    for (const uid of ["owner", "mod"])
      for (const text of ["1", "2"]) assert.strictEqual((await chat.as(uid, "POST", "messages", { text })).status, 201)
    assert.strictEqual((await chat.as("ada", "POST", "messages", { text: "1" })).status, 201)
    const { body, retryAfter, status } = await chat.as("ada", "POST", "messages", { text: "2" })
    assert.strictEqual(status, 429)
    assert.strictEqual(body.type, "urn:spillway:problem:slow-mode")
    assert.isTrue(Number(retryAfter) > 50 && Number(retryAfter) <= 60)
    assert.strictEqual((await chat.as("bob", "POST", "messages", { text: "1" })).status, 201)
  })

  test("takes 60 messages a minute of a user", async () => {
    const chat = await stream()
    const key = await keyOf(server, "eager")
    const send = (n: number) => call(server, "POST", `${chat.target}/messages`, { key, body: { text: `${n}` } })
    for (const sent of await Promise.all(Array.from({ length: 60 }, (_, n) => send(n))))
      assert.strictEqual(sent.status, 201)
    const { body, retryAfter, status } = await send(60)
    assert.strictEqual(status, 429)
    assert.strictEqual(body.type, "urn:spillway:problem:too-many-messages")
    assert.isTrue(Number(retryAfter) >= 1 && Number(retryAfter) <= 60)
  })

  test("is switched off and on, and slowed, by the owner and moderators with the permission", async () => {
    const chat = await stream()
    const set = (uid: string, body: unknown) => chat.as(uid, "PATCH", "settings", body)
    assert.strictEqual((await set("ada", { enabled: false })).status, 403)
    for (const body of [{ slow_mode_seconds: 121 }, { slow_mode_seconds: -1 }, { enabled: 1 }, { more: 1 }])
      assert.strictEqual((await set("owner", body)).status, 400)
    await chat.as("owner", "PUT", "moderators/mod", { permissions: ["settings"] })
    const off = await set("mod", { enabled: false, slow_mode_seconds: 7 })
    assert.strictEqual(off.status, 200)
    assert.deepStrictEqual(off.body, {
      enabled: false,
      slow_mode_seconds: 7,
      you: { uid: "mod", role: "moderator", permissions: ["settings"], ban: null }
    })
    const refused = await chat.as("owner", "POST", "messages", { text: "x" })
    assert.strictEqual(refused.status, 403)
    assert.strictEqual(refused.body.type, "urn:spillway:problem:chat-disabled")
    assert.strictEqual((await set("owner", { enabled: true })).status, 200)
    assert.strictEqual((await chat.as("owner", "POST", "messages", { text: "x" })).status, 201)
    assert.deepStrictEqual((await chat.as(null, "GET", "settings")).body, {
      enabled: true,
      slow_mode_seconds: 7,
      you: null
    })
  })

  test("of a private stream is for its owner, admins and moderators", async () => {
    const chat = await stream({ visibility: "private" })
    await chat.as("owner", "PUT", "moderators/mod", { permissions: [] })
    const read = async (uid: string | null) => (await chat.as(uid, "GET", "messages")).status
    assert.strictEqual(await read(null), 404)
    assert.strictEqual(await read("ada"), 404)
    for (const uid of ["owner", "mod"]) assert.strictEqual(await read(uid), 200)
    assert.strictEqual((await call(server, "GET", `${chat.target}/messages`)).status, 200)
    assert.strictEqual((await chat.as("ada", "POST", "messages", { text: "x" })).status, 404)
  })
})

const ofType = (type: string) => (frame: { readonly type: string }) => frame.type === type
const slowReaders = async () => {
  const text = await (await fetch(`${server.url}/metrics`)).text()
  return Number(/^spillway_chat_slow_readers_total (\d+)/m.exec(text)?.[1] ?? 0)
}

describe("A crowded room", () => {
  test("closes the socket of a reader that is too slow with 4029, and sends everything to others", async () => {
    const chat = await stream()
    const [slow, fast] = [await openChat(server, chat.slug), await openChat(server, chat.slug)]
    for (const { find } of [slow, fast]) await find(ofType("hello"))
    slow.socket.pause()
    let last = 0
    const batch = SqlClient.SqlClient.use((sql) =>
      sql.withTransaction(
        Effect.gen(function* () {
          const [room] = yield* sql<{ readonly stream: string; readonly last: number }>`
            insert into chat_rooms as r (stream_id, last_id) select id, 100 from streams where slug = ${chat.slug}
            on conflict (stream_id) do update set last_id = r.last_id + 100
            returning stream_id::text as stream, last_id::float8 as last`
          yield* sql`
            insert into chat_messages (stream_id, id, uid, text, nonce, created_at)
            select ${room?.stream}::bigint, n, 'eve', repeat('\u{1f600}', 500), 'n', clock_timestamp()
            from generate_series(${(room?.last ?? 0) - 99}::bigint, ${room?.last}::bigint) as n`
          yield* sql`select pg_notify('spillway', ${`chat ${room?.stream}`})`
          last = room?.last ?? 0
        })
      )
    )
    const flood = Effect.gen(function* () {
      while ((yield* Effect.promise(slowReaders)) === 0) yield* batch
    })
    await Effect.runPromise(flood.pipe(Effect.provide(embeddedDatabase(server.dataDir))))
    slow.socket.resume()
    assert.strictEqual((await slow.closed).code, 4029)
    await fast.find(({ id }) => id === last)
    assert.deepStrictEqual(
      fast.frames.filter(ofType("message")).map(({ id }) => id),
      Array.from({ length: last }, (_, n) => n + 1)
    )
    fast.socket.terminate()
  })
})

describe("Bans and timeouts", () => {
  test("keep a user from posting, with the reason, until they end", async () => {
    const chat = await stream()
    const made = await chat.as("owner", "PUT", "bans/ada", { seconds: 600, reason: " calm down " })
    assert.strictEqual(made.status, 200)
    assert.strictEqual(made.body.reason, "calm down")
    assert.isTrue(Math.abs(Date.parse(made.body.until) - Date.now() - 600_000) < 60_000)
    const refused = await chat.as("ada", "POST", "messages", { text: "x" })
    assert.strictEqual(refused.status, 403)
    assert.strictEqual(refused.body.type, "urn:spillway:problem:banned")
    assert.match(refused.body.detail, /calm down/)
    const { you } = (await chat.as("ada", "GET", "settings")).body
    assert.strictEqual(you.ban.reason, "calm down")
    await chat.as("owner", "PUT", "bans/ada", { reason: "for ever" })
    const list = await chat.as("owner", "GET", "bans")
    assert.deepStrictEqual(
      list.body.bans.map(({ reason, uid, until }: Record<string, unknown>) => [uid, reason, until]),
      [["ada", "for ever", null]]
    )
    assert.strictEqual((await chat.as("owner", "DELETE", "bans/ada")).status, 204)
    assert.strictEqual((await chat.as("owner", "DELETE", "bans/ada")).status, 404)
    assert.strictEqual((await chat.as("ada", "POST", "messages", { text: "x" })).status, 201)
    await chat.as("owner", "PUT", "bans/ada", { seconds: 1 })
    let status = 403
    while (status === 403) status = (await chat.as("ada", "POST", "messages", { text: "y" })).status
    assert.strictEqual(status, 201)
    assert.deepStrictEqual((await chat.as("owner", "GET", "bans")).body.bans, [])
  })

  test("need their permissions, and reach neither owners nor, for moderators, other moderators", async () => {
    const chat = await stream()
    await chat.as("owner", "PUT", "moderators/mod", { permissions: ["timeout"] })
    await chat.as("owner", "PUT", "moderators/bob", { permissions: [] })
    const ban = async (by: string, uid: string, body: unknown) => (await chat.as(by, "PUT", `bans/${uid}`, body)).status
    assert.strictEqual(await ban("ada", "mod", { seconds: 5 }), 403)
    assert.strictEqual(await ban("mod", "ada", {}), 403)
    assert.strictEqual(await ban("mod", "ada", { seconds: 500 }), 200)
    assert.strictEqual(await ban("mod", "owner", { seconds: 5 }), 409)
    assert.strictEqual(await ban("mod", "bob", { seconds: 5 }), 409)
    assert.strictEqual(await ban("owner", "owner", {}), 409)
    for (const body of [{ seconds: 0 }, { seconds: 14 * 86_400 + 1 }, { reason: "x".repeat(201) }, { more: 1 }])
      assert.strictEqual(await ban("owner", "ada", body), 400)
    assert.strictEqual(await ban("owner", "ada", {}), 200)
    assert.strictEqual((await chat.as("mod", "DELETE", "bans/ada")).status, 403)
    assert.strictEqual(await ban("mod", "ada", { seconds: 1 }), 403)
    assert.isNull((await chat.as("owner", "GET", "bans")).body.bans[0].until)
    assert.strictEqual(await ban("owner", "ada", { seconds: 500 }), 200)
    assert.strictEqual((await chat.as("mod", "DELETE", "bans/ada")).status, 204)
    assert.strictEqual(await ban("owner", "bob", {}), 200)
    assert.deepStrictEqual(
      (await chat.as("owner", "GET", "moderators")).body.moderators.map(({ uid }: { readonly uid: string }) => uid),
      ["mod"]
    )
    assert.strictEqual((await chat.as("ada", "GET", "bans")).status, 403)
  })
})

describe("Moderators", () => {
  test("are added, changed, paged and removed by the owner, and leave themselves", async () => {
    const chat = await stream()
    const put = (by: string, uid: string, permissions: ReadonlyArray<string>) =>
      chat.as(by, "PUT", `moderators/${uid}`, { permissions })
    assert.strictEqual((await put("ada", "ada", [])).status, 403)
    assert.strictEqual((await put("owner", "ada", ["fly"])).status, 400)
    assert.strictEqual((await put("owner", "b d", [])).status, 400)
    assert.deepStrictEqual((await put("owner", "ada", ["ban", "ban"])).body.permissions, ["ban"])
    for (const uid of ["bob", "mod"]) await put("owner", uid, ["delete"])
    assert.strictEqual((await put("mod", "eve", [])).status, 403)
    const first = await chat.as("mod", "GET", "moderators?limit=2")
    assert.deepStrictEqual([first.body.moderators.length, first.body.next], [2, "bob"])
    const rest = await chat.as("mod", "GET", "moderators?limit=2&after=bob")
    assert.deepStrictEqual([rest.body.moderators.length, rest.body.next], [1, null])
    assert.strictEqual((await chat.as("bob", "GET", "moderators?limit=0")).status, 400)
    assert.strictEqual((await chat.as("mod", "DELETE", "moderators/bob")).status, 403)
    assert.strictEqual((await chat.as("mod", "DELETE", "moderators/mod")).status, 204)
    assert.strictEqual((await chat.as("owner", "DELETE", "moderators/mod")).status, 404)
    assert.strictEqual((await chat.as("mod", "GET", "moderators")).status, 403)
  })

  test("are at most 100", async () => {
    const chat = await stream()
    const add = (n: number) => chat.as("owner", "PUT", `moderators/m${n}`, { permissions: [] })
    // A user's requests queue for the database up to 64.
    for (const from of [0, 50]) await Promise.all(Array.from({ length: 50 }, (_, n) => add(from + n)))
    assert.strictEqual((await add(100)).status, 409)
    assert.strictEqual((await add(7)).status, 200)
  })
})

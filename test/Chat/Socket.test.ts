/** `src/Chat/Socket.ts` of a real server: every message of the chat socket, and its bounds. */
import { connect } from "node:net"
import { assert, beforeAll, describe, test } from "vitest"
import { fileServer } from "../support/TestServer.ts"
import { call, type ChatSocket, keyOf, openChat, path } from "./support/ChatClient.ts"

const server = fileServer({
  CHAT_ATTEMPTS_PER_MINUTE: "100000",
  CHAT_FRAMES_PER_SECOND: "2",
  CHAT_PING_INTERVAL: "500 millis",
  CHAT_SOCKETS_PER_ADDRESS: "4",
  CHAT_SOCKETS_PER_STREAM: "6",
  SPILLWAY_CORS_ORIGINS: "https://app.example.org"
})

const keys: Record<string, string> = {}
const keyFor = (uid: string) => keys[uid] ?? ""
beforeAll(async () => {
  for (const uid of ["owner", "ada", "bob"]) keys[uid] = await keyOf(server, uid)
})

let streams = 0
const stream = async (fields: object = {}) => {
  const slug = `socket-${++streams}`
  const body = { slug, title: "T", ...fields }
  const made = await call(server, "POST", path, { key: keyFor("owner"), body })
  assert.strictEqual(made.status, 201)
  return {
    slug,
    as: (uid: string, method: string, rest: string, body?: unknown) =>
      call(server, method, `${path}/${slug}/chat/${rest}`, { key: keyFor(uid), body }),
    open: (uid: string | undefined, options: { query?: string; headers?: Record<string, string> } = {}) =>
      openChat(server, slug, { ...options, ...(uid === undefined ? {} : { key: keyFor(uid) }) })
  }
}

const ofType = (type: string) => (frame: { readonly type: string }) => frame.type === type
const end = async (...sockets: ReadonlyArray<ChatSocket>) => {
  for (const { socket } of sockets) socket.terminate()
  await Promise.all(sockets.map(({ closed }) => closed))
}
/** A client that never answers a ping. Returns when the server cuts the connection. */
const silent = (request: string) =>
  new Promise<void>((resolve) => {
    const socket = connect(Number(new URL(server.url).port), "127.0.0.1", () => socket.write(request))
    socket.on("error", () => {})
    socket.resume().once("close", () => resolve())
  })

const metric = async (name: string) => {
  const text = await (await fetch(`${server.url}/metrics`)).text()
  return Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\d+)`, "m").exec(text)?.[1] ?? 0)
}

describe("A chat socket", () => {
  test("greets with the state of the room, and sends what everyone does", async () => {
    const chat = await stream({ chat: { slow_mode_seconds: 3 } })
    const reader = await chat.open(undefined)
    assert.deepStrictEqual(await reader.find(ofType("hello")), {
      type: "hello",
      last_id: 0,
      enabled: true,
      slow_mode_seconds: 3,
      you: null
    })
    const owner = await chat.open("owner")
    assert.deepStrictEqual((await owner.find(ofType("hello"))).you, {
      uid: "owner",
      role: "owner",
      permissions: ["delete", "timeout", "ban", "settings"]
    })
    owner.send({ type: "post", nonce: "a1", text: " <b>hi</b> " })
    assert.deepStrictEqual(await owner.find(ofType("accepted")), { type: "accepted", nonce: "a1", id: 1 })
    const { created_at: created, ...message } = await reader.find(ofType("message"))
    assert.isString(created)
    assert.deepStrictEqual(message, {
      type: "message",
      id: 1,
      uid: "owner",
      text: "<b>hi</b>",
      broadcast_id: null,
      stream_offset_ms: null
    })
    const { chat: measured } = (await call(server, "GET", `${path}/${chat.slug}/metrics`)).body
    assert.deepStrictEqual(measured, { messages_per_minute: 1 })
    await chat.as("owner", "DELETE", "messages/1")
    assert.deepStrictEqual(await reader.find(ofType("delete")), { type: "delete", id: 2, message_id: 1 })
    await chat.as("owner", "PUT", "bans/bob", { seconds: 60, reason: "secret" })
    const ban = await reader.find(ofType("ban"))
    assert.deepStrictEqual([ban.id, ban["uid"], typeof ban["until"], ban["reason"]], [3, "bob", "string", undefined])
    await chat.as("owner", "DELETE", "bans/bob")
    assert.deepStrictEqual(await reader.find(ofType("unban")), { type: "unban", id: 4, uid: "bob" })
    await chat.as("owner", "PATCH", "settings", { slow_mode_seconds: 9 })
    assert.deepStrictEqual(await reader.find(ofType("settings")), {
      type: "settings",
      enabled: true,
      slow_mode_seconds: 9
    })
    await call(server, "PATCH", `${path}/${chat.slug}`, { body: { chat: { enabled: false } } })
    const off = await reader.find((frame) => frame.type === "settings" && frame["enabled"] === false)
    assert.strictEqual(off["slow_mode_seconds"], 9)
    await end(reader, owner)
  })

  test("says when its user becomes a moderator, or is one no more, and nothing while that stays", async () => {
    const chat = await stream()
    const ada = await chat.open("ada")
    assert.deepInclude((await ada.find(ofType("hello"))).you, { role: "reader", permissions: [] })
    assert.strictEqual((await chat.as("owner", "PUT", "moderators/ada", { permissions: ["delete"] })).status, 200)
    assert.deepStrictEqual((await ada.find(ofType("you"))).you, {
      uid: "ada",
      role: "moderator",
      permissions: ["delete"]
    })
    assert.strictEqual((await chat.as("owner", "DELETE", "moderators/ada")).status, 204)
    await ada.find((frame) => frame.type === "you" && JSON.stringify(frame).includes("reader"))
    assert.lengthOf(ada.frames.filter(ofType("you")), 2)
    await end(ada)
  })

  test("answers each frame that it does not accept, and stays open", async () => {
    const chat = await stream({ chat: { slow_mode_seconds: 60 } })
    const ada = await chat.open("ada")
    const rejected = async (frame: object | string, nonce: string | null) => {
      const before = ada.frames.length
      ada.send(frame)
      return ada.find(
        (found) => ada.frames.indexOf(found) >= before && found.type === "rejected" && found["nonce"] === nonce
      )
    }
    for (const frame of ["", "no json", "[]", "null", { type: "fly" }, { type: "post", text: "no nonce" }])
      assert.strictEqual((await rejected(frame, null))["code"], "bad-request")
    for (const frame of [
      { type: "post", nonce: "b1" },
      { type: "post", nonce: "b1", text: 1 },
      { type: "post", nonce: "b1", text: "x", more: 1 }
    ])
      assert.strictEqual((await rejected(frame, "b1"))["code"], "bad-request")
    for (const text of ["", " ", "x".repeat(501), "\u0000"])
      assert.strictEqual((await rejected({ type: "post", nonce: "b2", text }, "b2"))["code"], "bad-message")
    ada.send({ type: "post", nonce: "c1", text: "first" })
    await ada.find(ofType("accepted"))
    const slow = await rejected({ type: "post", nonce: "c2", text: "second" }, "c2")
    assert.strictEqual(slow["code"], "slow-mode")
    assert.isTrue(Number(slow["retry_after"]) > 50)
    ada.send({ type: "post", nonce: "c1", text: "first" })
    await ada.find((frame) => frame.type === "accepted" && ada.frames.filter(ofType("accepted")).length === 2)
    const reader = await chat.open(undefined)
    reader.send({ type: "post", nonce: "d1", text: "x" })
    assert.strictEqual((await reader.find(ofType("rejected")))["code"], "unauthorized")
    await chat.as("owner", "PUT", "bans/ada", { seconds: 60 })
    assert.strictEqual((await rejected({ type: "post", nonce: "e1", text: "x" }, "e1"))["code"], "banned")
    await chat.as("owner", "DELETE", "bans/ada")
    await chat.as("owner", "PATCH", "settings", { enabled: false })
    assert.strictEqual((await rejected({ type: "post", nonce: "e2", text: "x" }, "e2"))["code"], "chat-disabled")
    await end(ada, reader)
  })

  test("resumes after the last id that the client knows, without a gap", async () => {
    const chat = await stream()
    const post = (text: string) => chat.as("owner", "POST", "messages", { text })
    for (const text of ["1", "2", "3"]) await post(text)
    await chat.as("owner", "DELETE", "messages/3")
    const reader = await chat.open(undefined, { query: "?after_id=1" })
    await post("5")
    await reader.find(({ id }) => id === 5)
    assert.deepStrictEqual(
      reader.frames.map(({ id, type }) => [type, id]),
      [
        ["hello", undefined],
        ["message", 2],
        ["delete", 4],
        ["message", 5]
      ]
    )
    await end(reader)
    const { code } = await (await chat.open(undefined, { query: "?after_id=x" })).closed
    assert.strictEqual(code, 1008)
  })

  test("of a banned user closes with 4003 and the reason, and so does its next one", async () => {
    const chat = await stream()
    const [ada, bob] = [await chat.open("ada"), await chat.open("bob")]
    for (const { find } of [ada, bob]) await find(ofType("hello"))
    const reason = "é".repeat(100)
    await chat.as("owner", "PUT", "bans/ada", { reason })
    const closed = await ada.closed
    assert.strictEqual(closed.code, 4003)
    assert.match(closed.reason, /^you are banned from this chat: é+…$/)
    assert.strictEqual((await (await chat.open("ada")).closed).code, 4003)
    await bob.find(ofType("ban"))
    await end(bob)
    await chat.as("owner", "DELETE", "bans/ada")
    const again = await chat.open("ada", { query: "?after_id=0" })
    await again.find(ofType("unban"))
    await end(again)
  })

  test("takes its key from the subprotocol or the query, and never echoes it", async () => {
    const chat = await stream({ visibility: "private" })
    const key = keyFor("owner")
    const offered = await openChat(server, chat.slug, { protocols: ["spillway", `bearer.${key}`] })
    assert.strictEqual(offered.protocol, "spillway")
    await offered.find(ofType("hello"))
    const queried = await openChat(server, chat.slug, { query: `?access_token=${key}` })
    await queried.find(ofType("hello"))
    assert.strictEqual((await openChat(server, chat.slug)).status, 404)
    assert.strictEqual((await chat.open("ada")).status, 404)
    assert.strictEqual((await openChat(server, chat.slug, { key: "spw_wrong" })).status, 401)
    for (const slug of ["no-such-stream", "a%00b"]) assert.strictEqual((await openChat(server, slug)).status, 404)
    assert.strictEqual((await call(server, "GET", `${path}/${chat.slug}/chat`)).status, 426)
    await end(offered, queried)
  })

  test("opens for pages of this server and of the origins of the setting only", async () => {
    const chat = await stream()
    const from = (origin: string) => chat.open("ada", { headers: { origin } })
    assert.strictEqual((await from("https://evil.example.org")).status, 403)
    assert.strictEqual((await from("null")).status, 403)
    const open = [await from("https://app.example.org"), await from(server.url)]
    for (const { status } of open) assert.strictEqual(status, 101)
    await end(...open)
  })

  test("closes with 1013 at the bounds of its user, its address and its stream, and frees their places", async () => {
    const [chat, other] = [await stream(), await stream()]
    const ofAda = await Promise.all([1, 2, 3].map(() => chat.open("ada")))
    for (const { find } of ofAda) await find(ofType("hello"))
    assert.match((await (await chat.open("ada")).closed).reason, /^Retry-After: 5; the user has 3 sockets in this chat/)
    const readers = await Promise.all([1, 2, 3].map(() => chat.open(undefined)))
    for (const { find } of readers) await find(ofType("hello"))
    const full = await (await chat.open("bob")).closed
    assert.deepStrictEqual(full, { code: 1013, reason: "Retry-After: 5; the stream has 6 chat sockets on this node" })
    const more = await other.open(undefined)
    await more.find(ofType("hello"))
    assert.match((await (await other.open(undefined)).closed).reason, /^Retry-After: 5; the address has 4 chat sockets/)
    const metrics = await (await fetch(`${server.url}/metrics`)).text()
    for (const reason of ["user", "stream", "address"])
      assert.include(metrics, `spillway_chat_refused_total{reason="${reason}"} 1\n`)
    await end(...ofAda)
    const bob = await chat.open("bob")
    await bob.find(ofType("hello"))
    await end(...readers, more, bob)
  })

  test("closes on binary, large and too many frames", async () => {
    const chat = await stream()
    const binary = await chat.open("ada")
    binary.socket.send(Buffer.from("{}"))
    assert.strictEqual((await binary.closed).code, 1003)
    const large = await chat.open("ada")
    large.send("x".repeat(8 * 1024 + 1))
    assert.strictEqual((await large.closed).code, 1009)
    const many = await chat.open("ada")
    for (let n = 0; n < 130; n++) many.send("x")
    assert.strictEqual((await many.closed).code, 1008)
  })

  test("closes when its key is revoked, its stream is deleted, or it answers no ping", async () => {
    const chat = await stream()
    const made = await call(server, "POST", "/v1/keys", { body: { uid: "eve" } })
    const eve = await openChat(server, chat.slug, { key: made.body.key })
    await eve.find(ofType("hello"))
    await call(server, "DELETE", `/v1/keys/${made.body.id}`)
    assert.strictEqual((await eve.closed).code, 1008)
    await silent(
      `GET ${path}/${chat.slug}/chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
        `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`
    )
    const reader = await chat.open(undefined)
    await reader.find(ofType("hello"))
    await call(server, "DELETE", `${path}/${chat.slug}`, { key: keyFor("owner") })
    assert.strictEqual((await reader.closed).code, 4004)
    while ((await metric("spillway_chat_rooms")) > 1) await new Promise((resolve) => setTimeout(resolve, 50))
  })
})

describe("Behind a long ping interval, a chat socket", () => {
  const quiet = fileServer({ CHAT_PING_INTERVAL: "1 hour" })

  test("takes no message with a key that was revoked", async () => {
    const owner = await keyOf(quiet, "owner")
    await call(quiet, "POST", path, { key: owner, body: { slug: "quiet", title: "T" } })
    const made = await call(quiet, "POST", "/v1/keys", { body: { uid: "eve" } })
    const eve = await openChat(quiet, "quiet", { key: made.body.key })
    eve.send({ type: "post", nonce: "1", text: "before" })
    await eve.find(ofType("accepted"))
    await call(quiet, "DELETE", `/v1/keys/${made.body.id}`)
    eve.send({ type: "post", nonce: "2", text: "after" })
    const posted = eve.find((frame) => frame.type === "accepted" && frame["nonce"] === "2").catch(() => eve.closed)
    assert.deepInclude(await posted, { code: 1008 })
    const { messages } = (await call(quiet, "GET", `${path}/quiet/chat/messages`)).body
    assert.lengthOf(messages, 1)
  })

  test("closes as soon as its stream becomes private, unless its user may read it", async () => {
    const owner = await keyOf(quiet, "owner")
    const key = await keyOf(quiet, "ada")
    await call(quiet, "POST", path, { key: owner, body: { slug: "closing", title: "T" } })
    const as = (method: string, rest: string, body: unknown) =>
      call(quiet, method, `${path}/closing${rest}`, { key: owner, body })
    await as("PUT", "/chat/moderators/mod", { permissions: [] })
    const [visitor, ada, own, mod] = await Promise.all([
      openChat(quiet, "closing"),
      openChat(quiet, "closing", { key }),
      openChat(quiet, "closing", { key: owner }),
      openChat(quiet, "closing", { key: await keyOf(quiet, "mod") })
    ])
    for (const { find } of [visitor, ada, own, mod]) await find(ofType("hello"))
    await as("PATCH", "", { visibility: "private" })
    await as("POST", "/chat/messages", { text: "among us" })
    for (const { find } of [own, mod]) await find(ofType("message"))
    const found = [visitor, ada].map(({ closed, find }) => find(ofType("message")).catch(() => closed))
    for (const closing of await Promise.all(found)) assert.deepInclude(closing, { code: 4004 })
    await end(own, mod)
  })
})

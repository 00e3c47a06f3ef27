/** `src/main.ts`: a real server delivers events of recordings to webhooks, and keeps their log. */
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import { assert, it } from "@effect/vitest"
import { Webhook } from "standardwebhooks"
import { afterAll, beforeAll } from "vitest"
import { audioFrame, switchTo } from "../support/Capturer.ts"
import { openCaptureSocket } from "../support/CaptureSocket.ts"
import { fileServer } from "../support/TestServer.ts"

const server = fileServer({
  SPILLWAY_WEBHOOK_ALLOW_HTTP: "yes",
  SPILLWAY_WEBHOOK_ALLOW_ADDRESSES: "127.0.0.1/32",
  SPILLWAY_MASTER_SECRETS: "a".repeat(64)
})

interface Received {
  readonly headers: Record<string, string>
  readonly body: string
}

const received: Array<Received> = []
const receiver = Http.createServer((request, response) => {
  let body = ""
  request.setEncoding("utf8").on("data", (text: string) => (body += text))
  request.on("end", () => {
    const headers = Object.entries(request.headers).map(([name, value]) => [name, String(value)])
    received.push({ headers: Object.fromEntries(headers), body })
    response.writeHead(200, { "x-receiver": "yes" }).end("thanks")
  })
})
let url = ""
beforeAll(
  () =>
    new Promise<void>((resolve) => {
      receiver.listen(0, "127.0.0.1", () => {
        const { port } = receiver.address() as AddressInfo
        url = `http://127.0.0.1:${port}/hook`
        resolve()
      })
    })
)
afterAll(() => {
  receiver.closeAllConnections()
  receiver.close()
})

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

const until = async <A>(get: () => Promise<A> | A, holds: (value: A) => boolean): Promise<A> => {
  for (;;) {
    const value = await get()
    if (holds(value)) return value
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

const message = (type: number, payload: object) => {
  const head = Buffer.alloc(4)
  head.writeUInt32LE(type)
  return Buffer.concat([head, Buffer.from(JSON.stringify(payload))])
}

const typesReceived = () => received.map(({ body }) => JSON.parse(body).type)

it("delivers what happens to a conversation, signed, and shows each delivery with its attempts", async () => {
  const key = await keyOf("ada")
  const made = await call("POST", "/v1/webhooks", key, { url, headers: { "X-Own": "secret-value" } })
  assert.strictEqual(made.status, 201)
  const { secret, webhook } = made.body
  assert.match(secret, /^whsec_/)
  const { closed, socket } = await openCaptureSocket({ url: server.url, key }, { query: "?audio_timeline=2&ack=1" })
  socket.send(switchTo("talk"))
  socket.send(audioFrame(1_700_000_000, Buffer.alloc(32_000, 1)))
  socket.close()
  await closed
  await until(typesReceived, (types) => types.includes("conversation.created"))
  const [created] = received
  const verified = new Webhook(secret).verify(created?.body ?? "", created?.headers ?? {})
  assert.deepInclude(verified, { type: "conversation.created", data: { uid: "ada", conversation_id: "talk" } })
  assert.strictEqual(created?.headers["x-own"], "secret-value")

  assert.strictEqual((await call("DELETE", "/v1/conversations/talk", key)).status, 202)
  await until(typesReceived, (types) => types.includes("conversation.deleted"))
  assert.deepStrictEqual(typesReceived(), ["conversation.created", "conversation.deleted"])

  const log = await until(
    () => call("GET", `/v1/webhooks/${webhook.id}/deliveries?state=delivered`, key),
    ({ body }) => body.deliveries.length === 2
  )
  const [latest] = log.body.deliveries
  assert.deepInclude(latest, { type: "conversation.deleted", state: "delivered", attempts: 1, status: 200 })
  const { body: one } = await call("GET", `/v1/webhooks/${webhook.id}/deliveries/${latest.event_id}`, key)
  assert.strictEqual(one.attempts[0].body, "thanks")
  assert.include(one.attempts[0].response, "x-receiver: yes")
  assert.include(one.attempts[0].request, `webhook-id: ${latest.event_id}`)
  assert.strictEqual(JSON.parse(one.payload).type, "conversation.deleted")
  const everything = JSON.stringify([one, await call("GET", "/v1/webhooks", key), log])
  assert.notInclude(everything, "secret-value")
  assert.notInclude(everything, secret)

  assert.strictEqual(
    (await call("POST", `/v1/webhooks/${webhook.id}/deliveries/${latest.event_id}/replay`, key)).status,
    202
  )
  await until(typesReceived, (types) => types.length === 3)
  assert.strictEqual(received[2]?.headers["webhook-id"], latest.event_id)
  const { body: health } = await call("GET", `/v1/webhooks/${webhook.id}/health`, key)
  assert.deepInclude(health, { state: "healthy", success_rate: 1, failures: 0 })
})

it("delivers that a conversation was finished, and what has changed in a transcript, also in an encrypted one", async () => {
  const key = await keyOf("lea")
  assert.strictEqual((await call("PUT", "/v1/users/lea/settings", server.key, { protection: "enhanced" })).status, 200)
  const types = ["conversation.finished", "transcript.segments"]
  const { body: made } = await call("POST", "/v1/webhooks", key, { url, types })
  const { closed, socket } = await openCaptureSocket({ url: server.url, key }, { query: "?audio_timeline=2&ack=1" })
  socket.send(switchTo("talk"))
  socket.send(audioFrame(1_700_000_000, Buffer.alloc(32_000, 1)))
  const segments = [{ id: "a", start: 1, text: "confidential" }]
  socket.send(message(102, { segments, memory_id: "talk" }))
  const ofLea = () =>
    received
      .map(({ body, headers }) => ({ ...JSON.parse(body), headers, body }))
      .filter(({ data }) => data.uid === "lea")
  const [changed] = await until(ofLea, ({ length }) => length > 0)
  assert.deepInclude(changed, {
    type: "transcript.segments",
    data: { uid: "lea", conversation_id: "talk", segments }
  })
  new Webhook(made.secret).verify(changed?.body ?? "", changed?.headers ?? {})
  socket.send(message(104, { conversation_id: "talk" }))
  const [, finished] = await until(ofLea, ({ length }) => length > 1)
  assert.deepInclude(finished, { type: "conversation.finished", data: { uid: "lea", conversation_id: "talk" } })
  socket.close()
  await closed
})

it("sends a test, and rotates the secret", async () => {
  const key = await keyOf("eve")
  const { body } = await call("POST", "/v1/webhooks", key, { url, types: ["endpoint.disabled"], signature: "v1a" })
  assert.match(body.public_key, /^whpk_/)
  const test = await call("POST", `/v1/webhooks/${body.webhook.id}/test`, key)
  assert.strictEqual(test.status, 202)
  await until(
    () => received.map(({ headers }) => headers["webhook-id"]),
    (ids) => ids.includes(test.body.event_id)
  )
  const rotated = await call("POST", `/v1/webhooks/${body.webhook.id}/secret`, key, {})
  assert.notStrictEqual(rotated.body.secret, body.secret)
  assert.strictEqual((await call("POST", `/v1/webhooks/${body.webhook.id}/secret`, key)).status, 200)
  const off = await call("PATCH", `/v1/webhooks/${body.webhook.id}`, key, { enabled: false, rate: 5, description: "x" })
  assert.deepInclude(off.body, { enabled: false, rate: 5, description: "x", types: ["endpoint.disabled"] })
  assert.strictEqual((await call("POST", `/v1/webhooks/${body.webhook.id}/test`, key)).status, 409)
})

it("keeps webhooks from other users, and those of all users to admins", async () => {
  const [ada, bob] = [await keyOf("ada"), await keyOf("bob")]
  const { body } = await call("POST", "/v1/webhooks", ada, { url })
  const path = `/v1/webhooks/${body.webhook.id}`
  for (const [method, at, payload] of [
    ["GET", path, undefined],
    ["PATCH", path, { enabled: false }],
    ["DELETE", path, undefined],
    ["POST", `${path}/secret`, {}],
    ["POST", `${path}/test`, undefined],
    ["GET", `${path}/deliveries`, undefined],
    ["GET", `${path}/health`, undefined],
    ["POST", `${path}/replay`, { from: "2026-01-01", to: "2026-01-02" }]
  ] as const)
    assert.strictEqual((await call(method, at, bob, payload)).status, 404, `${method} ${at}`)
  assert.strictEqual((await call("POST", "/v1/webhooks", bob, { url, global: true })).status, 403)
  assert.strictEqual((await call("GET", "/v1/webhooks?global=true", bob)).status, 403)
  assert.strictEqual((await call("GET", "/v1/admin/webhooks", bob)).status, 403)
  const all = await call("POST", "/v1/webhooks", server.key, { url, global: true, types: ["audio.lost"] })
  assert.deepInclude(all.body.webhook, { uid: null })
  assert.lengthOf((await call("GET", "/v1/webhooks?global=true")).body.webhooks, 1)
  assert.strictEqual((await call("GET", "/v1/admin/webhooks")).status, 200)
  assert.strictEqual((await call("DELETE", path, ada)).status, 204)
  assert.strictEqual((await call("GET", path, ada)).status, 404)
})

it("names the rule of a refused URL, the known types, and each header that is not allowed", async () => {
  const key = await keyOf("carl")
  const refused = async (payload: object) => (await call("POST", "/v1/webhooks", key, payload)).body
  for (const [bad, rule] of [
    ["ftp://example.com/", "scheme"],
    ["http://10.0.0.1/", "address"],
    ["http://0x0a000001/", "address"],
    ["http://user:pass@127.0.0.1/", "credentials"],
    ["http://127.0.0.1:22/", "port"],
    ["nonsense", "syntax"]
  ] as const) {
    const problem = await refused({ url: bad })
    assert.deepInclude(problem, { status: 422, type: `urn:spillway:problem:webhook-url-${rule}` }, bad)
  }
  const unknown = await refused({ url, types: ["conversation.created", "nope"] })
  assert.deepInclude(unknown, { status: 422, type: "urn:spillway:problem:unknown-event-type" })
  assert.include(unknown.detail, "transcript.segments")
  assert.match((await refused({ url, types: [] })).detail, /^body\.types: Expected a value with a length/)
  const headers = await refused({ url, headers: { "Webhook-Id": "x", connection: "close", "X-Ok": "ü" } })
  assert.strictEqual(headers.status, 422)
  assert.lengthOf(headers.errors, 3)
  assert.deepStrictEqual((await call("GET", "/v1/webhooks", key)).body.webhooks, [])
})

it("describes the payload of each type in the document of the API", async () => {
  const document = (await call("GET", "/openapi.json")).body
  assert.includeMembers(Object.keys(document.webhooks), [
    "audio.lost",
    "conversation.created",
    "conversation.deleted",
    "conversation.finished",
    "endpoint.disabled",
    "transcript.segments",
    "webhook.test"
  ])
  const lost = document.webhooks["audio.lost"].post.requestBody.content["application/json"].schema
  assert.hasAllKeys(lost.properties.data.properties, ["uid", "conversation_id", "started_at", "duration"])
})

/** Keys on a real server while it runs. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { afterAll, assert, beforeAll, it } from "@effect/vitest"
import { WebSocket } from "ws"
import { audioFrame, readAck, switchTo } from "../support/Capturer.ts"
import { dataDirectory, type Server, startServer } from "../support/Server.ts"

let server: Server
let dataDir: string

beforeAll(async () => {
  dataDir = dataDirectory()
  server = await startServer(dataDir, {
    SPILLWAY_KEY_CHECK_INTERVAL: "100 millis",
    SPILLWAY_SEGMENT_BYTES: "300 KiB",
    SPILLWAY_COMMIT_INTERVAL: "50 millis"
  })
})

afterAll(async () => {
  assert.strictEqual(await server.stop(), 0)
  Fs.rmSync(Path.dirname(dataDir), { recursive: true, force: true })
})

const call = async (method: string, path: string, body?: unknown) => {
  const response = await fetch(`${server.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${server.key}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) })
  })
  const text = await response.text()
  return { status: response.status, body: text === "" ? undefined : JSON.parse(text) }
}

/** A device that has sent `bytes` of audio, with the close code that it gets and what is acknowledged to it. */
const device = (conversation: string, bytes: number, key = server.key) => {
  const socket = new WebSocket(`${server.url.replace("http", "ws")}/v1/trigger/listen?audio_timeline=2&ack=1`, {
    headers: { authorization: `Bearer ${key}` }
  })
  socket.once("open", () => {
    socket.send(switchTo(conversation))
    socket.send(audioFrame(1_700_000_000, Buffer.alloc(bytes, 1)))
  })
  const acknowledged = new Promise<void>((resolve) =>
    socket.on("message", (data: Buffer) => (readAck(data)?.bytes === bytes ? resolve() : undefined))
  )
  const closed = new Promise<{ readonly code: number; readonly reason: string }>((resolve) =>
    socket.once("close", (code, reason) => resolve({ code, reason: reason.toString() }))
  )
  return { acknowledged, closed, socket }
}

it("rejects a new key that has already expired", async () => {
  const { body, status } = await call("POST", "/v1/keys", { uid: "ada", expires_at: "2020-01-01T00:00:00Z" })
  assert.strictEqual(status, 400)
  assert.deepStrictEqual(body.errors[0].path, ["body", "expires_at"])
})

it("does not revoke the admin key", async () => {
  assert.strictEqual((await call("DELETE", "/v1/keys/admin")).status, 409)
  assert.strictEqual((await call("GET", "/v1/keys")).status, 200)
})

it("closes the captures of a revoked key, and keeps their acknowledged audio", async () => {
  const { body: made } = await call("POST", "/v1/keys", { uid: "ada" })
  const { acknowledged, closed } = device("c", 32_000, made.key)
  await acknowledged
  assert.strictEqual((await call("DELETE", `/v1/keys/${made.id}`)).status, 204)
  assert.strictEqual((await closed).code, 1008)
  assert.strictEqual((await call("GET", "/v1/conversations/c?uid=ada")).body.captured_duration, 1)
})

it("is not ready while the journal can't be written, and accepts audio again when it can", async () => {
  const journal = Path.join(dataDir, "journal")
  Fs.renameSync(journal, `${journal}.away`)
  assert.strictEqual((await device("large", 700_000).closed).code, 1011)
  const { body, status } = await call("GET", "/health/ready")
  assert.strictEqual(status, 503)
  assert.deepStrictEqual(
    body.failing.map(({ name }: { readonly name: string }) => name),
    ["journal"]
  )
  Fs.renameSync(`${journal}.away`, journal)
  const { acknowledged, closed, socket } = device("again", 32_000)
  await acknowledged
  assert.strictEqual((await call("GET", "/health/ready")).status, 200)
  socket.close()
  await closed
})

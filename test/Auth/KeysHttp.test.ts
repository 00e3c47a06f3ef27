/** Keys on a real server while it runs. */
import { assert, it } from "@effect/vitest"
import { audioFrame, switchTo } from "../support/Capturer.ts"
import { openCaptureSocket } from "../support/CaptureSocket.ts"
import { fileServer } from "../support/TestServer.ts"

const server = fileServer({ KEY_CHECK_INTERVAL: "100 millis", SPILLWAY_COMMIT_INTERVAL: "50 millis" })

const call = async (method: string, path: string, body?: unknown) => {
  const response = await fetch(`${server.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${server.key}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) })
  })
  const text = await response.text()
  return { status: response.status, body: text === "" ? undefined : JSON.parse(text) }
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
  const { acknowledged, closed, socket } = await openCaptureSocket(server, {
    key: made.key,
    query: "?audio_timeline=2&ack=1"
  })
  socket.send(switchTo("c"))
  socket.send(audioFrame(1_700_000_000, Buffer.alloc(32_000, 1)))
  await acknowledged(32_000)
  assert.strictEqual((await call("DELETE", `/v1/keys/${made.id}`)).status, 204)
  assert.strictEqual((await closed).code, 1008)
  assert.strictEqual((await call("GET", "/v1/conversations/c?uid=ada")).body.captured_duration, 1)
})

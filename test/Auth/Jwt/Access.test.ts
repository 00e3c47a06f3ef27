/** Where a real server accepts JWTs, and what they permit: `src/Auth/Authentication.ts` with `src/Auth/Jwt`. */
import { assert, it } from "@effect/vitest"
import { afterAll } from "vitest"
import { audioFrame, switchTo } from "../../support/Capturer.ts"
import { openCaptureSocket } from "../../support/CaptureSocket.ts"
import { startServer } from "../../support/Server.ts"
import { fileServer, testDirectory } from "../../support/TestServer.ts"
import { audience, ecKey, fakeIssuer, issuer, rsaKey, token, unixNow } from "./support/FakeIssuer.ts"

const key = rsaKey()
const fake = await fakeIssuer(key)
fake.answer = 500
afterAll(() => fake.close())

const server = fileServer({
  SPILLWAY_JWKS_URL: fake.url,
  SPILLWAY_JWT_ISSUER: issuer,
  SPILLWAY_JWT_AUDIENCE: audience,
  KEY_CHECK_INTERVAL: "100 millis",
  JWKS_REFRESH_INTERVAL: "1 second",
  SPILLWAY_COMMIT_INTERVAL: "50 millis"
})

const get = async (path: string, jwt?: string) => {
  const response = await fetch(`${server.url}${path}`, {
    headers: jwt === undefined ? {} : { authorization: `Bearer ${jwt}` }
  })
  return { status: response.status, headers: response.headers, body: JSON.parse(await response.text()) }
}

it("answers 503 while no keys of the issuer are known, stays ready, and accepts access keys", async () => {
  const { body, headers, status } = await get("/v1/conversations", token(key))
  assert.deepStrictEqual([status, body.type], [503, "urn:spillway:problem:issuer-unavailable"])
  assert.match(headers.get("retry-after") ?? "", /^\d+$/)
  assert.strictEqual((await get("/health/ready")).status, 200)
  assert.strictEqual((await get("/v1/conversations", server.key)).status, 200)
  fake.answer = "keys"
  await fake.asked(fake.requests() + 1)
  assert.strictEqual((await get("/v1/conversations", token(key))).status, 200)
})

it("accepts a JWT in each place of a key, for its own user only, and writes it nowhere", async () => {
  const jwt = token(key)
  const recording = await openCaptureSocket(server, {
    key: null,
    protocols: ["spillway", `bearer.${jwt}`],
    query: "?audio_timeline=2&ack=1"
  })
  assert.deepStrictEqual([recording.status, recording.socket.protocol], [101, "spillway"])
  recording.socket.send(switchTo("c"))
  recording.socket.send(audioFrame(1_700_000_000, Buffer.alloc(32_000, 1)))
  await recording.acknowledged(32_000)
  recording.socket.close()

  const { body } = await get("/v1/conversations/c", jwt)
  const audio = `/v1/sync/audio/c/${body.audio_files[0].id}?access_token=`
  assert.deepStrictEqual([body.uid, body.captured_duration], ["ada", 1])
  const played = await fetch(`${server.url}${audio}${jwt}`)
  assert.deepStrictEqual([played.status, (await played.arrayBuffer()).byteLength], [200, 44 + 32_000])

  const stranger = token(key, { sub: "eve" })
  assert.strictEqual((await get("/v1/conversations/c", stranger)).status, 404)
  assert.strictEqual((await get("/v1/conversations/c?uid=ada", stranger)).status, 403)
  // The admin key's user has the same id, but a JWT has no scopes.
  const admin = token(key, { sub: "admin" })
  assert.strictEqual((await get("/v1/keys", admin)).status, 403)
  assert.strictEqual((await get("/v1/conversations/c?uid=ada", admin)).status, 403)

  const expired = token(key, { exp: unixNow() - 61 })
  const refused = await get("/v1/conversations/c", expired)
  assert.deepStrictEqual(
    [refused.status, refused.headers.get("www-authenticate"), refused.body.detail],
    [401, "Bearer", "The token has expired."]
  )
  assert.strictEqual((await fetch(`${server.url}${audio}${expired}`)).status, 401)
  assert.strictEqual((await openCaptureSocket(server, { key: expired })).status, 401)
  for (const text of [jwt, stranger, admin, expired])
    for (const part of text.split(".").slice(1)) assert.notInclude(server.output(), part)
})

it("closes a capture whose JWT expires with 1008, and keeps its acknowledged audio", async () => {
  const exp = unixNow() - 60 + 6
  const { acknowledged, closed, socket } = await openCaptureSocket(server, {
    key: token(key, { exp }),
    query: "?audio_timeline=2&ack=1"
  })
  socket.send(switchTo("expiring"))
  socket.send(audioFrame(1_700_000_000, Buffer.alloc(32_000, 1)))
  await acknowledged(32_000)
  assert.deepStrictEqual(await closed, { code: 1008, reason: "the key is no longer valid" })
  assert.isAtLeast(Date.now() / 1000, exp + 60)
  const { body } = await get("/v1/conversations/expiring", token(key))
  assert.strictEqual(body.captured_duration, 1)
})

it("accepts a new key of the issuer, and keeps open captures while the issuer is down", async () => {
  const { closed, socket, status } = await openCaptureSocket(server, { key: token(key) })
  assert.strictEqual(status, 101)
  const next = ecKey()
  fake.keys = [key, next]
  await expectStatus(token(next), 200)
  fake.answer = "hang"
  await expectStatus(token(ecKey()), 503)
  assert.strictEqual((await get("/v1/conversations", token(next))).status, 200)
  assert.strictEqual(
    await Promise.race([closed, new Promise((resolve) => setTimeout(() => resolve("open"), 300))]),
    "open"
  )
  socket.close()
})

/** The keys are read at most once a second, so the first answer can be that of the keys before. */
const expectStatus = async (jwt: string, expected: number) => {
  for (;;) {
    const { status } = await get("/v1/conversations", jwt)
    if (status === expected) return
    assert.include([401, 503], status)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

it("does not start without the issuer and the audience, which it names", async () => {
  const start = startServer(testDirectory(), { SPILLWAY_JWKS_URL: fake.url })
  const error = await start.then(
    () => "it started",
    (cause: unknown) => String(cause)
  )
  assert.include(error, "SPILLWAY_JWT_ISSUER: expected")
  assert.include(error, "SPILLWAY_JWT_AUDIENCE: expected")
})

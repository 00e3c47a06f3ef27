/** The server of `src/main.ts`, with requests from before its start until after its end. */
import { connect, type Socket } from "node:net"
import { assert, it } from "@effect/vitest"
import { onTestFinished } from "vitest"
import { openCaptureSocket } from "../support/CaptureSocket.ts"
import { freePort } from "../support/FreePort.ts"
import { type Exchanged, exchange } from "../support/RawHttp.ts"
import { startEmpty } from "../support/Server.ts"
import { testDirectory, testServer } from "../support/TestServer.ts"

const websocket =
  "Connection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n"

const requests = {
  live: "GET /health/live HTTP/1.1\nHost: x\n\n",
  ready: "GET /health/ready HTTP/1.1\nHost: x\n\n",
  list: "GET /v1/conversations HTTP/1.1\nHost: x\n\n",
  create: `POST /v1/keys HTTP/1.1\nHost: x\nContent-Length: 100000\n\n${"x".repeat(100_000)}`,
  capture: `GET /v1/trigger/listen HTTP/1.1\nHost: x\n${websocket}\n`,
  h2c: "GET /v1/conversations HTTP/1.1\nHost: x\nConnection: Upgrade\nUpgrade: h2c\n\n"
}

interface Knock {
  readonly name: string
  readonly answer: Exchanged
}

/** One request every 10 ms, each on a connection of its own. */
const knocking = (port: number) => {
  const running: Array<Promise<Knock>> = []
  const kinds = Object.entries(requests)
  const timer = setInterval(() => {
    const [name = "", request = ""] = kinds[running.length % kinds.length] ?? []
    running.push(exchange(port, request).then((answer) => ({ name, answer })))
  }, 10)
  onTestFinished(() => clearInterval(timer))
  return {
    /** The responses to all requests so far. */
    answers: () => Promise.all(running),
    stop: () => {
      clearInterval(timer)
      return Promise.all(running)
    }
  }
}

/** The routes have answered a request of each kind. */
const isServed = (answered: ReadonlyArray<Knock>) => {
  const served = answered.filter(({ answer }) => answer.isWhole && answer.headers["retry-after"] === undefined)
  return new Set(served.map(({ name }) => name)).size === Object.keys(requests).length
}

const untilRefused = async (port: number): Promise<void> => {
  if ((await exchange(port, requests.live)).connected) await untilRefused(port)
}

it("answers every connection that it accepts, from its first moment to its last", async () => {
  const port = await freePort()
  const { answers, stop } = knocking(port)
  const server = await startEmpty(testDirectory(), { SPILLWAY_PORT: String(port) })
  onTestFinished(() => server.kill())
  while (!isServed(await answers())) await exchange(port, requests.live)
  const before = (await answers()).filter(({ answer }) => answer.connected)
  assert.strictEqual(await server.stop(), 0)
  await untilRefused(port)
  const accepted = (await stop()).filter(({ answer }) => answer.connected)

  // The system completes handshakes until the instant of the close, and resets those that the server has not accepted.
  const last = accepted.findLastIndex(({ answer }) => answer.isWhole)
  const unanswered = accepted.filter(
    ({ answer: { error, isWhole, status } }, index) =>
      !isWhole && !(index > last && status === undefined && error === "read ECONNRESET")
  )
  assert.deepStrictEqual(
    unanswered.map(({ answer, name }) => ({ name, error: answer.error, body: answer.body.toString() })),
    []
  )
  const whole = accepted.filter(({ answer }) => answer.isWhole)
  const statuses = (name: string) => new Set(whole.filter((each) => each.name === name).map((k) => k.answer.status))
  assert.deepStrictEqual(statuses("live"), new Set([200]))
  assert.deepStrictEqual(statuses("list"), new Set([503, 401]))
  assert.deepStrictEqual(statuses("capture"), new Set([503, 401]))
  const reasons = before
    .filter(({ name, answer }) => name === "ready" && answer.status === 503)
    .flatMap(({ answer }) => JSON.parse(answer.body.toString()).failing.map((each: { reason: string }) => each.reason))
  // Later steps can be shorter than the time between two requests.
  assert.include(reasons, "The database is being created.")
})

it("stops within its bounds while clients hold connections and neither send nor read", async () => {
  const server = await testServer({
    HTTP_SHUTDOWN_TIMEOUT: "200 millis",
    HEADERS_TIMEOUT: "1 minute"
  })
  const port = Number(new URL(server.url).port)
  const sockets = await Promise.all(
    ["", "GET /health/live HTTP/1.1\r\nHost: x\r\n", `GET /v1/trigger/listen HTTP/1.1\r\nHost: x\r\n`].map(
      (text) =>
        new Promise<Socket>((resolve) => {
          const socket = connect(port, "127.0.0.1", () => socket.write(text, () => resolve(socket)))
          socket.on("error", () => {})
        })
    )
  )
  // The server accepts in order.
  await exchange(port, requests.live)
  const at = performance.now()
  assert.strictEqual(await server.stop(), 0)
  assert.isBelow(performance.now() - at, 30_000)
  for (const socket of sockets) socket.destroy()
})

it("answers while it drains, closes each connection after its response, and rejects new captures", async () => {
  const server = await testServer({ CLOSE_TIMEOUT: "20 seconds" })
  const port = Number(new URL(server.url).port)
  const open = () => openCaptureSocket(server, { query: "?ack=1" })
  const silent = await open()
  // It does not answer the closing handshake, for which the drain waits.
  silent.socket.pause()
  const stopped = server.stop()
  let ready = await exchange(port, requests.ready)
  while (ready.status === 200) ready = await exchange(port, requests.ready)
  assert.deepStrictEqual([ready.status, ready.headers["connection"]], [503, "close"])
  assert.include(ready.body.toString(), "The node is stopping.")
  const list = await exchange(port, requests.list.replace("Host: x", `Host: x\nAuthorization: Bearer ${server.key}`))
  assert.deepStrictEqual([list.status, list.headers["connection"]], [200, "close"])
  assert.strictEqual((await (await open()).closed).code, 1001)
  silent.socket.resume()
  assert.strictEqual(await stopped, 0)
  await silent.closed
})

/** Responses without routes, and to requests that offer an upgrade. */
import { ServerResponse } from "node:http"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Predicate } from "effect"
import { HttpServer } from "effect/http"
import { NetAddress } from "effect/net"
import { onTestFinished } from "vitest"
import { Listener } from "../../src/Http/Listener.ts"
import * as Startup from "../../src/Startup.ts"
import { exchange } from "../support/RawHttp.ts"
import { environment, listening } from "./support/Served.ts"

const h2c = "Connection: Upgrade, HTTP2-Settings\nUpgrade: h2c\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\n"
const websocket =
  "Connection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n"

const starting = Effect.gen(function* () {
  const { address } = yield* HttpServer.HttpServer
  const port = NetAddress.isInetAddress(address) ? address.port : 0
  return (request: string, rest?: Uint8Array) => Effect.promise(() => exchange(port, request, rest))
})

describe("before there are routes", () => {
  const server = listening.pipe(Layer.provide(environment({})))

  it.effect("reports the node as live, and the start-up step as the reason it is not ready", () =>
    Effect.gen(function* () {
      const ask = yield* starting
      const live = yield* ask("GET /health/live HTTP/1.1\nHost: x\n\n")
      assert.deepStrictEqual([live.status, live.body.toString()], [200, `{"status":"live"}`])
      const ready = yield* Startup.during(
        "The journal is being recovered.",
        ask("GET /health/ready HTTP/1.1\nHost: x\n\n")
      )
      assert.deepStrictEqual([ready.status, ready.headers["retry-after"]], [503, "1"])
      assert.deepStrictEqual(JSON.parse(ready.body.toString()), {
        status: "unavailable",
        failing: [{ name: "start", reason: "The journal is being recovered." }]
      })
      assert.include((yield* ask("GET /health/ready HTTP/1.1\nHost: x\n\n")).body.toString(), "The node is starting.")
    }).pipe(Effect.provide(server), Effect.provideService(Startup.steps, new Set()))
  )

  it.effect("answers every other request with a problem and Retry-After", () =>
    Effect.gen(function* () {
      const ask = yield* starting
      const body = new Uint8Array(3_000_000)
      for (const [request, rest, connection] of [
        ["GET /v1/conversations HTTP/1.1\nHost: x\n\n", undefined, "keep-alive"],
        [`POST /v1/keys HTTP/1.1\nHost: x\nContent-Length: ${body.length}\n\n`, body, "keep-alive"],
        [`PUT /a HTTP/1.1\nHost: x\nExpect: 100-continue\nContent-Length: 0\n\n`, undefined, "keep-alive"],
        [`GET /v1/trigger/listen HTTP/1.1\nHost: x\n${websocket}\n`, undefined, "close"],
        [`GET /v1/conversations HTTP/1.1\nHost: x\n${h2c}\n`, undefined, "close"]
      ] as const) {
        const answer = yield* ask(request, rest)
        assert.deepStrictEqual([answer.status, answer.isWhole, answer.error], [503, true, undefined], request)
        const { "content-type": type, "retry-after": retryAfter } = answer.headers
        assert.deepStrictEqual([type, retryAfter], ["application/problem+json", "1"], request)
        assert.strictEqual(answer.headers["connection"], connection, request)
        assert.include(answer.body.toString(), "urn:spillway:problem:starting")
      }
    }).pipe(Effect.provide(server))
  )

  it.effect("answers a CONNECT request with a problem", () =>
    Effect.gen(function* () {
      const answer = yield* (yield* starting)("CONNECT example.org:443 HTTP/1.1\nHost: example.org:443\n\n")
      assert.deepStrictEqual([answer.status, answer.isWhole], [501, true])
    }).pipe(Effect.provide(server))
  )
})

describe("a request that offers an upgrade where there is none", () => {
  const size = 8 * 1024 * 1024
  /** Responds with `size` bytes, and the number of received bytes. */
  const listen = async () => {
    const listener = new Listener({}, [])
    listener.upgradeOn("/socket")
    listener.on("upgrade", (_request, socket) => socket.end("HTTP/1.1 101 \r\n\r\n"))
    listener.on("request", (request, response) => {
      assert.instanceOf(response, ServerResponse)
      let received = 0
      request.on("data", (part: Buffer) => (received += part.length))
      request.on("end", () => {
        response.writeHead(200, { "x-received": received, "content-length": size })
        response.end(Buffer.alloc(size))
      })
    })
    const port = await new Promise<number>((resolve) =>
      listener.listen(0, "127.0.0.1", () => {
        const address = listener.address()
        resolve(typeof address === "object" && address !== null ? address.port : 0)
      })
    )
    onTestFinished(() => {
      listener.close()
      listener.closeAllConnections()
    })
    return { listener, port }
  }

  for (const age of ["this Node", "a Node before 24.9"]) {
    const listenAs = async () => {
      const { listener, port } = await listen()
      // Node hands over every upgrade offer once a listener for them exists.
      if (age !== "this Node") Reflect.set(listener, "shouldUpgradeCallback", () => true)
      return port
    }

    it(`gets the whole response on ${age}, and the next one on the same connection`, async () => {
      const port = await listenAs()
      for (const offer of [h2c, websocket]) {
        const first = `GET / HTTP/1.1\nHost: x\n${offer}\n`
        const { body, headers, isWhole } = await exchange(
          port,
          `${first}GET /2 HTTP/1.1\nHost: x\nConnection: close\n\n`
        )
        assert.isTrue(isWhole)
        assert.notStrictEqual(headers["connection"], "close")
        assert.strictEqual(body.toString("latin1", size, size + 12), "HTTP/1.1 200")
        assert.isAbove(body.length, 2 * size)
      }
    })

    it(`has its body read to the end on ${age}`, async () => {
      const port = await listenAs()
      const sent = Buffer.alloc(3_000_000, 1)
      const request = `POST / HTTP/1.1\nHost: x\n${h2c}Content-Length: ${sent.length}\n\n`
      const { headers, isWhole } = await exchange(port, request, sent)
      assert.deepStrictEqual([headers["x-received"], isWhole], [String(sent.length), true])
    })

    it(`is upgraded only to a WebSocket, on a path that accepts one, on ${age}`, async () => {
      const port = await listenAs()
      const ask = async (path: string, offer: string) =>
        (await exchange(port, `GET ${path} HTTP/1.1\nHost: x\n${offer}\n`)).status
      assert.strictEqual(await ask("/socket?a=1", websocket), 101)
      assert.strictEqual(await ask("/socket", h2c), 200)
      assert.strictEqual(await ask("/sockets", websocket), 200)
    })
  }
})

it("answers every connection the system has accepted when it closes, then closes them", async () => {
  const listener = new Listener({}, [])
  const port = await new Promise<number>((resolve) =>
    listener.listen(0, "127.0.0.1", () => {
      const address = listener.address()
      resolve(typeof address === "object" && address !== null ? address.port : 0)
    })
  )
  const answers = Array.from({ length: 100 }, () => exchange(port, "GET / HTTP/1.1\nHost: x\n\n"))
  // The kernel completes the connections; this process has not accepted them.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50)
  listener.stop()
  const closed = new Promise((resolve) => listener.close(resolve))
  const outcomes = await Promise.all(answers)
  assert.deepStrictEqual(new Set(outcomes.map(({ error, isWhole }) => error ?? isWhole)), new Set([true]))
  assert.deepStrictEqual(new Set(outcomes.map(({ headers }) => headers["connection"])), new Set(["close"]))
  await closed
})

it("sends its response whole to a request whose body no listener reads, also while it stops", async () => {
  const listener = new Listener({}, [])
  listener.on("request", (_request, response) => void response.writeHead(401, { "content-length": 2 }).end("no"))
  listener.stop()
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve))
  onTestFinished(() => void listener.close())
  const address = listener.address()
  const port = Predicate.isObjectKeyword(address) && "port" in address ? address.port : 0
  // More than the system buffers.
  const body = new Uint8Array(30_000_000)
  for (let times = 0; times < 3; times++) {
    const answer = await exchange(port, `POST / HTTP/1.1\nHost: x\nContent-Length: ${body.length}\n\n`, body)
    assert.deepStrictEqual(
      [answer.status, answer.isWhole, answer.headers["connection"], answer.error],
      [401, true, "close", undefined]
    )
  }
})

describe("a shortcut", () => {
  const listen = async () => {
    const listener = new Listener({}, [])
    const seen: Array<string> = []
    listener.on("request", (_request, response) => void response.end("route"))
    listener.shortcuts.add((request, response, decline) => {
      seen.push(`${request.method} ${request.url}`)
      if (request.url === "/other") return false
      if (request.url === "/declined") setImmediate(decline)
      else response.end("shortcut")
      return true
    })
    await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve))
    onTestFinished(() => {
      listener.close()
      listener.closeAllConnections()
    })
    const address = listener.address()
    const port = Predicate.isObjectKeyword(address) && "port" in address ? address.port : 0
    const ask = (request: string, body = "") =>
      exchange(
        port,
        `${request} HTTP/1.1\nHost: x\nConnection: close\nContent-Length: ${body.length}\n\n`,
        Buffer.from(body)
      )
    return { ask, listener, seen }
  }

  it("answers before the routes, and leaves to them what it declines", async () => {
    const { ask } = await listen()
    for (const [path, answer] of [
      ["/short", "shortcut"],
      ["/other", "route"],
      ["/declined", "route"]
    ] as const) {
      const { body, isWhole, status } = await ask(`GET ${path}`)
      assert.deepStrictEqual([status, body.toString(), isWhole], [200, answer, true], path)
    }
  })

  it("gets only GET requests without a body", async () => {
    const { ask, seen } = await listen()
    for (const request of ["HEAD /short", "POST /short", "OPTIONS /short"])
      assert.strictEqual((await ask(request)).status, 200)
    assert.strictEqual((await ask("GET /short", "{}")).body.toString(), "route")
    assert.deepStrictEqual(seen, [])
  })

  it("is not tried without routes, and what it declines then is answered as by a node that starts", async () => {
    const { ask, listener, seen } = await listen()
    const declined = ask("GET /declined")
    while (seen.length === 0) await new Promise((resolve) => setImmediate(resolve))
    listener.removeAllListeners("request")
    assert.strictEqual((await declined).status, 503)
    assert.strictEqual((await ask("GET /short")).status, 503)
    assert.deepStrictEqual(seen, ["GET /declined"])
  })
})

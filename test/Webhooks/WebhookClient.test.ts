/** `src/Webhooks/WebhookClient.ts` against real servers on loopback, whose names a DNS server of the test resolves. */
import * as Http from "node:http"
import * as Net from "node:net"
import * as Tls from "node:tls"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer } from "effect"
import { MaxOpsBeforeYield } from "effect/Scheduler"
import * as TargetUrl from "../../src/Webhooks/TargetUrl.ts"
import { WebhookClient } from "../../src/Webhooks/WebhookClient.ts"
import { WebhooksConfig } from "../../src/Webhooks/WebhooksConfig.ts"
import { environment } from "../support/Settings.ts"
import * as NameServer from "./support/NameServer.ts"

const client = (allowed = "127.0.0.0/8") =>
  WebhookClient.layer.pipe(
    Layer.provide(WebhooksConfig.layer),
    Layer.provide(
      environment({
        SPILLWAY_WEBHOOK_ALLOW_HTTP: "yes",
        ...(allowed === "" ? {} : { SPILLWAY_WEBHOOK_ALLOW_ADDRESSES: allowed })
      })
    )
  )

const listening = <S extends Net.Server>(server: S) =>
  Effect.acquireRelease(
    Effect.callback<S>((resume) => void server.listen(0, () => resume(Effect.succeed(server)))),
    (opened) =>
      Effect.callback<void>((resume) => {
        opened.close(() => resume(Effect.void))
        if (opened instanceof Http.Server) opened.closeAllConnections()
      })
  )

const portOf = (server: Net.Server): number => {
  const address = server.address()
  return address !== null && typeof address === "object" ? address.port : 0
}

const serve = (handle: Http.RequestListener) => Effect.map(listening(Http.createServer(handle)), portOf)

interface More {
  readonly body?: string
  readonly limit?: Duration.Duration
  readonly key?: string
  readonly patience?: Duration.Duration
}

const post = (
  url: string,
  { body = "{}", key = "k", limit = Duration.seconds(20), patience = Duration.zero }: More = {}
) =>
  WebhookClient.use(({ withHost }) =>
    withHost({ url, key, patience }, (send) =>
      send({ headers: { "webhook-id": "m1" }, body: Buffer.from(body), limit })
    )
  )

describe("a request", () => {
  it.live("sends headers and body, and returns status, headers and body", () =>
    Effect.gen(function* () {
      const port = yield* serve((request, response) => {
        let body = ""
        request.on("data", (piece) => (body += piece))
        request.on("end", () => {
          response.writeHead(202, { "x-seen": [String(request.headers["webhook-id"]), "twice"] })
          response.end(`${request.method} ${request.url} ${request.headers.host} ${body}`)
        })
      })
      const response = yield* post(`http://127.0.0.1:${port}/hook?a=b`, { body: '{"x":1}' })
      assert.strictEqual(response.status, 202)
      assert.strictEqual(response.headers["x-seen"], "m1, twice")
      assert.strictEqual(response.body, `POST /hook?a=b 127.0.0.1:${port} {"x":1}`)
      assert.isAbove(response.millis, 0)
    }).pipe(Effect.provide(client()))
  )

  it.live("reads 64 KiB of an endless response, and uses another connection for the next one", () =>
    Effect.gen(function* () {
      const open = new Set<Http.ServerResponse>()
      const port = yield* serve((request, response) => {
        if (request.url === "/short") return void response.end("done")
        const timer = setInterval(() => response.write("x".repeat(10_000)), 1)
        open.add(response)
        response.on("close", () => (clearInterval(timer), open.delete(response)))
      })
      const response = yield* post(`http://127.0.0.1:${port}/endless`)
      assert.strictEqual(response.body.length, 64 * 1024)
      assert.strictEqual((yield* post(`http://127.0.0.1:${port}/short`)).body, "done")
      while (open.size > 0) yield* Effect.sleep("5 millis")
    }).pipe(Effect.provide(client()))
  )

  it.live("returns a redirect and does not follow it", () =>
    Effect.gen(function* () {
      let requests = 0
      const port = yield* serve((_request, response) => {
        requests++
        response.writeHead(307, { location: "/elsewhere" }).end()
      })
      assert.strictEqual((yield* post(`http://127.0.0.1:${port}/`)).status, 307)
      assert.strictEqual(requests, 1)
    }).pipe(Effect.provide(client()))
  )

  it.live("says in words why there was no response", () =>
    Effect.gen(function* () {
      const silent = yield* serve(() => {})
      const cut = yield* serve((request) => request.socket.destroy())
      const noise = yield* Effect.map(
        listening(
          Net.createServer(
            (socket) =>
              void socket
                .on("error", () => {})
                .resume()
                .end("nonsense\r\n\r\n")
          )
        ),
        portOf
      )
      const closed = yield* Effect.scoped(serve(() => {}))
      const reason = (port: number) =>
        Effect.map(
          Effect.flip(post(`http://127.0.0.1:${port}/`, { limit: Duration.millis(300) })),
          ({ message }) => message
        )
      assert.strictEqual(yield* reason(silent), "no complete response within 0.3 seconds")
      assert.match(yield* reason(cut), /^the connection was (reset|closed before the response was complete)$/)
      assert.match(yield* reason(noise), /HTTP|expected/i)
      assert.strictEqual(yield* reason(closed), "the connection was refused")
    }).pipe(Effect.provide(client()))
  )
})

describe("addresses", () => {
  it.live(
    "connects to a checked address with the name of the host, and refuses it when it has become a private one",
    () =>
      Effect.gen(function* () {
        let hosts: Array<string | undefined> = []
        const port = yield* serve((request, response) => {
          hosts = [...hosts, request.headers.host]
          response.setHeader("connection", "close").end()
        })
        let address = "127.0.0.1"
        const lookup = yield* NameServer.start(() => [address])
        yield* Effect.gen(function* () {
          assert.strictEqual((yield* post(`http://hook.test:${port}/`)).status, 200)
          address = "127.1.0.1"
          const error = yield* Effect.flip(post(`http://hook.test:${port}/`))
          assert.include(error.message, "hook.test resolves to 127.1.0.1, which is not a public address")
          assert.isTrue("isRefused" in error && error.isRefused)
        }).pipe(Effect.provide(client("127.0.0.0/24")), Effect.provideService(TargetUrl.HostLookup, lookup))
        assert.deepStrictEqual(hosts, [`hook.test:${port}`])
      })
  )

  it.live("refuses private addresses in URLs that were saved before, and when it checks a URL", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(post("http://127.0.0.1:8080/"))
      assert.isTrue("isRefused" in error && error.isRefused)
      const check = (url: string) => WebhookClient.use((webhooks) => Effect.flip(webhooks.check(url)))
      assert.strictEqual((yield* check("https://localhost/")).rule, "address")
      assert.strictEqual((yield* check("https://10.0.0.1/")).rule, "address")
    }).pipe(Effect.provide(client("")))
  )

  it.live("asks for the certificate of the host, not of the address", () =>
    Effect.gen(function* () {
      let asked = ""
      const server = yield* listening(
        Tls.createServer({ SNICallback: (name, done) => ((asked = name), done(new Error("no certificate"))) })
      )
      server.on("tlsClientError", () => {})
      const lookup = yield* NameServer.start(() => ["127.0.0.1"])
      yield* Effect.flip(post(`https://hook.test:${portOf(server)}/`)).pipe(
        Effect.provide(client()),
        Effect.provideService(TargetUrl.HostLookup, lookup)
      )
      assert.strictEqual(asked, "hook.test")
    })
  )
})

describe("bounds", () => {
  it.live("sends 8 requests to a host at once and refuses the ninth, until one ends", () =>
    Effect.gen(function* () {
      const waiting: Array<Http.ServerResponse> = []
      const port = yield* serve((_request, response) => void waiting.push(response))
      const url = `http://127.0.0.1:${port}/`
      const fibers = yield* Effect.forEach(Array.from({ length: 8 }), () => Effect.forkChild(post(url)))
      while (waiting.length < 8) yield* Effect.sleep("5 millis")
      assert.strictEqual((yield* Effect.flip(post(url)))._tag, "HostBusy")
      const [first, second] = fibers
      if (first === undefined || second === undefined) return assert.fail()
      yield* Fiber.interrupt(first)
      waiting.at(1)?.end()
      yield* Effect.exit(Fiber.await(second))
      const third = yield* Effect.forkChild(post(url))
      while (waiting.length < 9) yield* Effect.sleep("5 millis")
      for (const response of waiting) response.end()
      assert.strictEqual((yield* Fiber.join(third)).status, 200)
    }).pipe(Effect.provide(client()))
  )

  it.live("lets requests wait for a host, those of each key in turn, and no longer than their patience", () =>
    Effect.gen(function* () {
      const waiting: Array<Http.ServerResponse> = []
      const bodies: Array<string> = []
      const port = yield* serve((request, response) => {
        waiting.push(response)
        request.setEncoding("utf8").on("data", (text: string) => bodies.push(text))
      })
      const url = `http://127.0.0.1:${port}/`
      const send = (key: string, body: string) =>
        Effect.forkChild(post(url, { key, body, patience: Duration.seconds(10) }), { startImmediately: true })
      const held = yield* Effect.forEach(Array.from({ length: 8 }), () => send("a", "held"))
      const more = [yield* send("a", "a1"), yield* send("a", "a2"), yield* send("a", "a3"), yield* send("b", "b1")]
      const impatient = yield* Effect.flip(post(url, { key: "c", patience: Duration.millis(50) }))
      assert.strictEqual(impatient._tag, "HostBusy")
      while (waiting.length < 8) yield* Effect.sleep("5 millis")
      // One that is interrupted while it waits takes no slot.
      const [a1] = more
      if (a1 !== undefined) yield* Fiber.interrupt(a1)
      for (let next = 8; next < 11; next++) {
        waiting[next - 8]?.end()
        while (bodies.length <= next) yield* Effect.sleep("5 millis")
      }
      assert.deepStrictEqual(bodies.slice(8), ["a2", "b1", "a3"])
      for (const response of waiting) response.end()
      yield* Fiber.joinAll([...held, ...more.slice(1)])
    }).pipe(Effect.provide(client()))
  )

  it.live("frees the slot of its host wherever it is interrupted", () =>
    Effect.gen(function* () {
      const { withHost } = yield* WebhookClient
      const target = { url: "http://127.0.0.1:54321/", key: "k", patience: Duration.zero }
      // A fiber that yields after few operations can be interrupted between any two of them.
      for (const operations of [3, 4, 5, 6, 7, 8])
        for (let turns = 0; turns < 20; turns++) {
          const use = Effect.provideService(
            withHost(target, () => Effect.never),
            MaxOpsBeforeYield,
            operations
          )
          const fiber = yield* Effect.forkChild(use)
          yield* Effect.repeat(Effect.yieldNow, { times: turns })
          yield* Fiber.interrupt(fiber)
        }
      const together = { concurrency: "unbounded", discard: true } as const
      yield* Effect.forEach(Array(8), () => withHost(target, () => Effect.sleep("1 millis")), together)
    }).pipe(Effect.provide(client()))
  )

  it.live("keeps at most 64 connections open, whatever the number of hosts", () =>
    Effect.gen(function* () {
      let most = 0
      const server = yield* listening(Http.createServer((_request, response) => void response.end()))
      const count = Effect.callback<number>(
        (resume) => void server.getConnections((_error, connections) => resume(Effect.succeed(connections)))
      )
      for (let host = 1; host <= 100; host++) {
        yield* post(`http://127.0.1.${host}:${portOf(server)}/`)
        most = Math.max(most, yield* count)
      }
      // The server notices a closed connection a moment later.
      assert.isAtMost(most, 66)
      assert.isAtLeast(most, 40)
    }).pipe(Effect.provide(client()))
  )

  it.live("reuses a connection", () =>
    Effect.gen(function* () {
      const ports = new Set<number | undefined>()
      const port = yield* serve((request, response) => {
        ports.add(request.socket.remotePort)
        response.end("x")
      })
      for (let count = 0; count < 10; count++) yield* post(`http://127.0.0.1:${port}/`)
      assert.strictEqual(ports.size, 1)
    }).pipe(Effect.provide(client()))
  )
})

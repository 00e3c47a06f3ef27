/** `spillway webhooks listen` as a process, against a real server; and the code that docs/webhooks.md gives to receivers. */
import { spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import * as Path from "node:path"
import { assert, it } from "@effect/vitest"
import { onTestFinished } from "vitest"
import { maxEndpointsOfUser } from "../../src/Webhooks/Endpoints/EndpointRows.ts"
import { audioFrame, switchTo } from "../support/Capturer.ts"
import { openCaptureSocket } from "../support/CaptureSocket.ts"
import { fileServer } from "../support/TestServer.ts"
import { cli, run } from "./support/Command.ts"

const server = fileServer({ SPILLWAY_COMMIT_INTERVAL: "50 millis" })
const root = Path.join(import.meta.dirname, "../..")

interface Received {
  readonly path: string
  readonly headers: Http.IncomingHttpHeaders
  readonly body: Buffer
}

/** A server on the developer's machine. */
const application = async () => {
  const received: Array<Received> = []
  const listening = Http.createServer((request, response) => {
    const pieces: Array<Buffer> = []
    request.on("data", (piece: Buffer) => pieces.push(piece))
    request.on("end", () => {
      received.push({ path: request.url ?? "", headers: request.headers, body: Buffer.concat(pieces) })
      response.writeHead(202).end("thanks")
    })
  })
  await new Promise<void>((resolve) => void listening.listen(0, "127.0.0.1", resolve))
  onTestFinished(() => {
    listening.close()
    listening.closeAllConnections()
  })
  const { port } = listening.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}/hook?of=mine`, received }
}

const record = async (conversation: string) => {
  const { closed, socket } = await openCaptureSocket(server, { query: "?audio_timeline=2&ack=1" })
  socket.send(switchTo(conversation))
  socket.send(audioFrame(1_700_000_000, Buffer.alloc(32_000, 1)))
  socket.close()
  await closed
}

const post = (path: string, body?: object) =>
  fetch(`${server.url}${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${server.key}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) })
  })

const until = async <A>(get: () => A | undefined): Promise<A> => {
  for (;;) {
    const found = get()
    if (found !== undefined) return found
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

interface Documented {
  readonly verify: (secret: string, headers: Http.IncomingHttpHeaders, body: Buffer) => void
}

const documented = async (): Promise<Documented> => {
  const text = Fs.readFileSync(Path.join(root, "docs/webhooks.md"), "utf8")
  const code = /```js\n([^]*?)```/.exec(text)?.[1] ?? ""
  return import(`data:text/javascript;base64,${Buffer.from(code).toString("base64")}`)
}

it("forwards events with signatures that the documented code verifies, and ends its listener", async () => {
  const { received, url } = await application()
  const child = spawn(process.execPath, [...cli, "webhooks", "listen", "--forward", url], {
    env: { ...process.env, SPILLWAY_URL: server.url, SPILLWAY_KEY: server.key },
    stdio: ["ignore", "pipe", "pipe"]
  })
  onTestFinished(() => void child.kill("SIGKILL"))
  const said = { out: "", err: "" }
  child.stdout.setEncoding("utf8").on("data", (text: string) => (said.out += text))
  child.stderr.setEncoding("utf8").on("data", (text: string) => (said.err += text))
  const secret = await until(() => /whsec_\S+/.exec(said.err)?.[0])
  await record("first")
  const first = await until(() => received[0])
  assert.strictEqual(first.path, "/hook?of=mine")
  assert.deepInclude(JSON.parse(first.body.toString()), { type: "conversation.created" })
  const { verify } = await documented()
  verify(secret, first.headers, first.body)
  assert.throws(() => verify(secret, first.headers, Buffer.from(`${first.body} `)), /signature/)
  assert.throws(() => verify(secret, { ...first.headers, "webhook-timestamp": "1700000000" }, first.body), /too old/)
  await record("second")
  await until(() => received[1])
  await until(() => (said.out.split("\n").length > 2 ? true : undefined))
  assert.match(said.out, /^\d\d:\d\d:\d\d {2}conversation\.created {2}evt_[0-9a-f]{32} {2}202 in \d+ ms\n/)
  const ended = new Promise((resolve) => child.once("exit", resolve))
  child.kill("SIGINT")
  await ended
  assert.lengthOf(received, 2)
  // As many as a user may have: the command has left none.
  for (let n = 0; n < maxEndpointsOfUser; n++) {
    assert.strictEqual((await post("/v1/webhook-listeners")).status, 201)
  }
  assert.strictEqual((await post("/v1/webhook-listeners", {})).status, 409)
})

it("names the types of events, and the scope that events of all users need", async () => {
  const unknown = await run(server, "webhooks", "listen", "--types", "conversation.created, nope")
  assert.strictEqual(unknown.code, 1)
  assert.include(unknown.err, "transcript.segments")
  const made = await post("/v1/keys", { uid: "ada" })
  const { key } = JSON.parse(await made.text())
  const refused = await run({ url: server.url, key }, "webhooks", "listen", "--all")
  assert.strictEqual(refused.code, 1)
  assert.match(refused.err, /admin/)
})

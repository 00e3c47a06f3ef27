/** `scripts/Client.ts`: the package of `src/Client`, and the programs of `docs/protocol.md`, as their users run them. */
import { spawn, spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { afterAll, assert, beforeAll, it } from "@effect/vitest"
import { build } from "../../scripts/Client.ts"
import { findProgram } from "../support/Programs.ts"
import { freePort } from "../support/FreePort.ts"
import { testFolder } from "../support/TestFolder.ts"
import { fileServer, testDirectory, testServer } from "../support/TestServer.ts"
import { riff, chunk, fmt } from "../support/WavFiles.ts"
import { noise, played } from "./support/Sender.ts"

const root = Path.join(import.meta.dirname, "../..")
const here = fileServer({ SPILLWAY_COMMIT_INTERVAL: "60 millis" })
const package_ = Fs.mkdtempSync("/tmp/spillway-package-")

/** What `npm pack ./dist` ships, installed beside a user's program. */
beforeAll(async () => {
  const dist = Path.join(package_, "dist")
  await build(dist)
  const packing = ["pack", "./dist", "--silent", "--pack-destination", package_]
  const pack = spawnSync("npm", packing, { cwd: package_, encoding: "utf8" })
  assert.strictEqual(pack.status, 0, pack.stderr)
  const [file = ""] = pack.stdout.trim().split("\n").slice(-1)
  const to = Path.join(package_, "node_modules/spillway")
  Fs.mkdirSync(to, { recursive: true })
  const tar = spawnSync("tar", ["-xzf", Path.join(package_, file), "-C", to, "--strip-components=1"])
  assert.strictEqual(tar.status, 0)
  for (const name of ["ws", "@types", "undici-types"]) {
    Fs.symlinkSync(Path.join(root, "node_modules", name), Path.join(package_, "node_modules", name))
  }
})
afterAll(() => Fs.rmSync(package_, { recursive: true, force: true }))

const run = (program: string, args: ReadonlyArray<string>, env: Readonly<Record<string, string>> = {}) =>
  new Promise<{ readonly code: number | null; readonly out: string }>((resolve) => {
    const child = spawn(program, args, {
      cwd: package_,
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"]
    })
    let out = ""
    child.stdout.on("data", (data) => (out += data))
    child.stderr.on("data", (data) => (out += data))
    child.once("close", (code) => resolve({ code, out }))
  })

const example = (language: string): string => {
  const text = Fs.readFileSync(Path.join(root, "docs/protocol.md"), "utf8")
  const found = [...text.matchAll(new RegExp(`^\`\`\`${language}\n([\\s\\S]*?)^\`\`\``, "gm"))].map(
    ([, code = ""]) => code
  )
  assert.strictEqual(found.length, 1, `examples in ${language}`)
  return found[0] ?? ""
}

/** The example of the documents with a recording, and with a WebSocket where it needs one. */
const program = (conversation: string, pcm: Buffer, more = "") => {
  Fs.writeFileSync(Path.join(package_, `${conversation}.pcm`), pcm)
  const code = example("js")
    .replace("http://127.0.0.1:8080", here.url)
    .replace("my-talk", conversation)
    .replace("sampleRate: 16_000", `sampleRate: 16_000${more}`)
  return `import * as fs from "node:fs"
const key = ${JSON.stringify(here.key)}
const bytes = fs.readFileSync("${conversation}.pcm")
const all = new Int16Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length))
const recording = (async function* () {
  for (let at = 0; at < all.length; at += 1600) yield all.subarray(at, at + 1600)
})()
${code}
console.log(process.version, cause)
`
}

const ofVersion = (node: string): number =>
  Number(/^v(\d+)/.exec(spawnSync(node, ["--version"], { encoding: "utf8" }).stdout)?.[1])

/** The Node of the system, where the tests run with the one of npm. */
const oldNode = (process.env["PATH"] ?? "")
  .split(Path.delimiter)
  .filter((folder) => !folder.includes("node_modules"))
  .map((folder) => Path.join(folder, "node"))
  .find((node) => Fs.existsSync(node) && ofVersion(node) < 22)
if (oldNode === undefined) console.warn("Skipped: the client in a Node before 22, which this system does not have.")

it("needs no other package", () => {
  const manifest = JSON.parse(Fs.readFileSync(Path.join(package_, "node_modules/spillway/package.json"), "utf8"))
  const isNeeded = (field: string) => /dependencies$/i.test(field)
  assert.deepStrictEqual(Object.keys(manifest).filter(isNeeded), [])
  assert.deepStrictEqual(manifest.exports["./client"].default, "./client.js")
})

it("runs the example of the documents in Node, from the package", async () => {
  const pcm = noise(3)
  assert.isAtMost(example("js").trim().split("\n").length, 11)
  Fs.writeFileSync(Path.join(package_, "talk.mjs"), program("talk", pcm))
  const { code, out } = await run(process.execPath, ["talk.mjs"])
  assert.deepStrictEqual([code, out], [0, `${process.version} complete\n`])
  assert.isTrue((await played(here)).equals(pcm))
})

it.runIf(oldNode !== undefined)("runs in a Node without a WebSocket, with that of the package ws", async () => {
  const pcm = noise(3)
  const more = ', WebSocket: (await import("ws")).WebSocket'
  Fs.writeFileSync(Path.join(package_, "old.mjs"), program("old", pcm, more))
  const { code, out } = await run(oldNode ?? "", ["old.mjs"])
  assert.strictEqual(code, 0, out)
  assert.match(out, /^v(18|20)\.\S+ complete\n$/)
  assert.isTrue((await played(here, "old")).equals(pcm))
  Fs.writeFileSync(
    Path.join(package_, "without.mjs"),
    `import { CaptureClient } from "spillway/client"
const client = new CaptureClient({ url: "http://127.0.0.1:1", key: "k", conversation: "c" })
console.log((await client.ended).reason)`
  )
  assert.match((await run(oldNode ?? "", ["without.mjs"])).out, /^There is no WebSocket here: pass a constructor/)
})

it("has types for browsers and for Node, with each way of resolving modules", async () => {
  Fs.writeFileSync(
    Path.join(package_, "typed.mts"),
    `import { CaptureClient, type End } from "spillway/client"
const client = new CaptureClient({ url: "https://x", key: async () => "k", conversation: "c", onNotice: ({ shift }) => shift })
export const end: Promise<End> = client.close({ deadlineMillis: 1 })
// @ts-expect-error a bound is a number
new CaptureClient({ url: "https://x", key: "k", conversation: "c", bufferBytes: "1" })
`
  )
  Fs.writeFileSync(
    Path.join(package_, "typed-ws.mts"),
    `import { WebSocket } from "ws"
import { CaptureClient } from "spillway/client"
new CaptureClient({ url: "https://x", key: "k", conversation: "c", WebSocket })
`
  )
  Fs.writeFileSync(Path.join(package_, "package.json"), '{ "type": "module" }')
  const tsc = Path.join(root, "node_modules/.bin/tsc")
  const strict = ["--ignoreConfig", "--noEmit", "--strict", "--target", "es2022"]
  const browser = ["--lib", "es2022,dom", "--types", ""]
  const node = ["--lib", "es2022", "--types", "node", "--skipLibCheck"]
  const bundler = ["--module", "esnext", "--moduleResolution", "bundler"]
  for (const options of [
    [...browser, ...bundler],
    [...browser, "--module", "nodenext"],
    [...node, "--module", "nodenext"]
  ]) {
    const { code, out } = await run(tsc, [...strict, ...options, "typed.mts"])
    assert.deepStrictEqual([code, out], [0, ""], options.join(" "))
  }
  const { code, out } = await run(tsc, [...strict, ...node, "--module", "nodenext", "typed-ws.mts"])
  assert.deepStrictEqual([code, out], [0, ""])
})

const python = findProgram("python3", "the client for Python of docs/protocol.md")

it.runIf(python !== undefined)(
  "runs the client for Python, which resumes after SIGKILL without loss or doubles",
  async () => {
    const code = example("python")
    assert.isAtMost(code.trim().split("\n").length, 62)
    const folder = testFolder()
    const [dataDir, port] = [testDirectory(), String(await freePort())]
    const env = { SPILLWAY_PORT: port, SPILLWAY_COMMIT_INTERVAL: "60 millis" }
    let server = await testServer(env, dataDir)
    const pcm = noise(150)
    const wav = Path.join(folder, "talk.wav")
    Fs.writeFileSync(wav, riff([fmt(), chunk("data", pcm)]))
    Fs.writeFileSync(Path.join(folder, "client.py"), code)
    const running = run(python ?? "", [Path.join(folder, "client.py"), server.url, server.key, "talk", wav])
    const headers = { authorization: `Bearer ${server.key}` }
    const heard = async () => (await fetch(`${server.url}/v1/conversations/talk`, { headers })).status
    while ((await heard()) !== 200) await new Promise(setImmediate)
    await server.kill()
    assert.strictEqual(await Promise.race([running, "sending"]), "sending")
    server = await testServer(env, dataDir)
    assert.deepStrictEqual(await running, { code: 0, out: "" })
    assert.isTrue((await played(server)).equals(pcm))
    const refused = await run(python ?? "", [Path.join(folder, "client.py"), server.url, "wrong", "talk", wav])
    assert.deepStrictEqual(refused, { code: 1, out: "HTTP/1.1 401 Unauthorized\n" })
    const unnamed = await run(python ?? "", [Path.join(folder, "client.py"), server.url, server.key, "no id", wav])
    assert.match(unnamed.out, /^1003: a conversation id has/)
    const settings = { method: "PUT", body: JSON.stringify({ store_audio: false }) }
    const json = { ...headers, "content-type": "application/json" }
    assert.isTrue((await fetch(`${server.url}/v1/users/settings`, { ...settings, headers: json })).ok)
    const unstored = await run(python ?? "", [Path.join(folder, "client.py"), server.url, server.key, "new", wav])
    assert.deepStrictEqual(unstored, { code: 1, out: "the user's settings say that audio is not stored\n" })
  }
)

/** The commands of `src/Cli.ts` as processes, against a real server. */
import { type ChildProcess, spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { stream as send, streamAt } from "../support/Capturer.ts"
import { chunk, fmt, foundWith, riff } from "../support/WavFiles.ts"
import { processEnvironment } from "../support/Settings.ts"
import { freePort } from "../support/FreePort.ts"
import { dataDirectory, type Server, startServer } from "../support/Server.ts"
import { cli } from "./support/Command.ts"

const dataDir = dataDirectory()
const wav = Path.join(Path.dirname(dataDir), "in.wav")
const SECONDS = 10

let server: Server
let port = ""

/** A file of `samples` samples, without its last `cut`. */
const writeWav = (wav: string, samples: number, cut = 0) => {
  const bytes = Buffer.alloc(44 + samples * 2)
  bytes.write("RIFF", 0)
  bytes.write("WAVEfmt ", 8)
  bytes.writeUInt32LE(16, 16)
  bytes.writeUInt16LE(1, 20)
  bytes.writeUInt16LE(1, 22)
  bytes.writeUInt32LE(16_000, 24)
  bytes.writeUInt16LE(16, 34)
  bytes.write("data", 36)
  bytes.writeUInt32LE(samples * 2, 40)
  Fs.writeFileSync(wav, bytes.subarray(0, bytes.length - cut * 2))
}

const start = (
  args: ReadonlyArray<string>,
  env: Readonly<Record<string, string>> = {},
  meddle: (child: ChildProcess) => void = () => {},
  stdin: "ignore" | "pipe" = "ignore"
) => {
  const child: ChildProcess = spawn(process.execPath, [...cli, ...args], {
    env: { ...process.env, SPILLWAY_URL: server.url, SPILLWAY_DATA_DIR: dataDir, ...processEnvironment(env) },
    stdio: [stdin, "pipe", "pipe"]
  })
  const said = { out: "", err: "" }
  meddle(child)
  child.stdout?.setEncoding("latin1").on("data", (text: string) => (said.out += text))
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (said.err += text))
  const done = new Promise<{ readonly code: number | null; readonly out: string; readonly err: string }>((resolve) =>
    child.once("close", (code) => resolve({ code, ...said }))
  )
  /** Resolves when the text is on standard error. */
  const says = (text: string) =>
    new Promise<void>((resolve) => {
      const look = () => said.err.includes(text) && resolve()
      child.stderr?.on("data", look)
      look()
    })
  return { done, says }
}

/** Records what the WAV file has, without a process. */
const record = (conversation: string) =>
  send(
    { conversation, start: 1_700_000_000, sampleRate: 16_000, pcm: Buffer.alloc(16_000 * SECONDS * 2) },
    { server: () => server, speed: 1_000, frameSeconds: 1 }
  )

const run = (args: ReadonlyArray<string>, env?: Readonly<Record<string, string>>) => start(args, env).done

beforeAll(async () => {
  port = String(await freePort())
  server = await startServer(dataDir, { SPILLWAY_PORT: port })
  writeWav(wav, 16_000 * SECONDS)
})

afterAll(async () => {
  await server.stop()
  Fs.rmSync(Path.dirname(dataDir), { recursive: true, force: true, maxRetries: 20 })
})

describe("the command line", () => {
  it("resumes after the server is killed and restarted, until all audio is acknowledged", async () => {
    const stream = start(["stream", wav, "--fast", "--conversation", "killed"])
    await stream.says("sent")
    await server.kill()
    server = await startServer(dataDir, { SPILLWAY_PORT: port })
    const { code, err, out } = await stream.done
    assert.strictEqual(code, 0, err)
    assert.match(err, /Reconnecting in/)
    assert.match(out, /^acknowledged 10\.0 s, all of .*in\.wav\nconversation killed\n/)
  })

  it("goes live with a stream key", async () => {
    const streams = `${server.url}/api/v1/studio/streams`
    const made = await fetch(streams, {
      method: "POST",
      headers: { authorization: `Bearer ${server.key}`, "content-type": "application/json" },
      body: JSON.stringify({ slug: "from-the-cli", title: "From the command line" })
    })
    const { key } = JSON.parse(await made.text())
    const { code, err, out } = await run(["stream", wav, "--fast", "--conversation", "on-air"], { SPILLWAY_KEY: key })
    assert.strictEqual(code, 0, err)
    assert.strictEqual(out, `acknowledged 10.0 s, all of ${wav}\n`)
    const { live } = JSON.parse(await (await fetch(`${streams}/from-the-cli`)).text())
    assert.strictEqual(live?.broadcast, 1)
    assert.include(err, "The broadcast ends in 30 seconds, unless a capture continues it")
    assert.include((await run(["stream", "--help"])).out, "or the stream key of a stream, which goes live")
    const refused = await run(["fetch", "on-air", "-o", "-"], { SPILLWAY_KEY: key })
    assert.strictEqual(refused.code, 1)
    assert.include(refused.err, "A stream key is for capture only")
  })

  it("sends a truncated file up to the cut, and writes to standard error how much is missing", async () => {
    const cut = Path.join(Path.dirname(dataDir), "cut.wav")
    writeWav(cut, 16_000 * 10, 16_000 * 8)
    const { code, err, out } = await run(["stream", cut, "--fast"])
    assert.strictEqual(code, 0, err)
    assert.include(err, `${cut} is truncated: 8.0 s of 10.0 s are missing. Sending the rest.\n`)
    assert.match(out, /^acknowledged 2\.0 s, all of .*cut\.wav\n/)
  })

  it("waits for a server that is down when fetch or stream starts", async () => {
    assert.strictEqual((await run(["stream", wav, "--fast", "--conversation", "later"])).code, 0)
    await server.kill()
    const to = Path.join(Path.dirname(dataDir), "later.wav")
    const fetch = start(["fetch", "later", "-o", to])
    const stream = start(["stream", wav, "--fast", "--conversation", "later"])
    await Promise.all([fetch.says("Reconnecting in"), stream.says("Reconnecting in")])
    server = await startServer(dataDir, { SPILLWAY_PORT: port })
    const [fetched, streamed] = await Promise.all([fetch.done, stream.done])
    assert.deepStrictEqual([fetched.code, streamed.code], [0, 0], fetched.err + streamed.err)
    assert.isAtLeast(Fs.statSync(to).size, 44 + 16_000 * SECONDS * 2)
    const both = await run(["fetch", "later", "-o", to])
    assert.strictEqual(both.code, 0, both.err)
    assert.isAtLeast(Fs.statSync(to).size, 44 + 2 * 16_000 * SECONDS * 2)
  })

  it("streams standard input through a restart of the server, and says what its header lacks", async () => {
    const audio = Buffer.from(Array.from({ length: 32_000 }, (_, index) => (index * 37) % 256))
    const { bytes = Buffer.alloc(0) } = foundWith(audio)["RF64 whose writer was killed"] ?? {}
    const half = bytes.length - 16_000
    let child: ChildProcess | undefined
    const args = ["stream", "-", "--fast", "--conversation", "come"]
    const stream = start(args, { CLI_FAST_FRAME: "100 millis" }, (each) => (child = each), "pipe")
    child?.stdin?.write(bytes.subarray(0, half))
    const headers = { authorization: `Bearer ${server.key}` }
    const heard = async () => await (await fetch(`${server.url}/v1/conversations/come`, { headers })).text()
    while (!(await heard()).includes('"captured_duration":0.5')) await new Promise(setImmediate)
    await server.kill()
    await stream.says("Reconnecting in")
    child?.stdin?.end(bytes.subarray(half))
    server = await startServer(dataDir, { SPILLWAY_PORT: port })
    const { code, err, out } = await stream.done
    assert.strictEqual(code, 0, err)
    assert.include(err, "The header of - was never finished. All that follows it is sent.\n")
    assert.match(out, /^acknowledged 1\.0 s, all of -\n/)
    const fetched = await run(["fetch", "come", "-o", "-"])
    assert.isTrue(Buffer.from(fetched.out, "latin1").subarray(44).equals(audio))
  })

  it("streams from the name of standard input and from a named pipe", async () => {
    const pipe = Path.join(Path.dirname(dataDir), "pipe")
    const source = Path.join(Path.dirname(dataDir), "piped.wav")
    const audio = Buffer.alloc(32_000, "Spillway")
    const { bytes = Buffer.alloc(0) } = foundWith(audio)["from a writer to a pipe: sox"] ?? {}
    Fs.writeFileSync(source, bytes)
    const script = `mkfifo "$5" && cat "$1" | "$2" "$3" "$4" stream /dev/stdin --fast --conversation by-stdin &&
      { cat "$1" > "$5" & } && "$2" "$3" "$4" stream "$5" --fast --conversation by-name`
    const shell = spawn("sh", ["-ec", script, "sh", source, process.execPath, ...cli, pipe], {
      env: { ...process.env, SPILLWAY_URL: server.url, SPILLWAY_DATA_DIR: dataDir },
      stdio: ["ignore", "ignore", "pipe"]
    })
    let err = ""
    shell.stderr.setEncoding("utf8").on("data", (text: string) => (err += text))
    assert.strictEqual(await new Promise((resolve) => shell.once("close", resolve)), 0, err)
    assert.notMatch(err, /is cut|never finished/)
    for (const conversation of ["by-stdin", "by-name"]) {
      const fetched = await run(["fetch", conversation, "-o", "-"])
      assert.isTrue(Buffer.from(fetched.out, "latin1").subarray(44).equals(audio), conversation)
    }
  })

  it("writes only the requested data to standard output", async () => {
    await record("piped")
    const { code, err, out } = await run(["fetch", "piped", "-o", "-"])
    assert.strictEqual(code, 0, err)
    assert.strictEqual(out.slice(0, 4), "RIFF")
    assert.strictEqual(Buffer.byteLength(out, "latin1"), 44 + 16_000 * SECONDS * 2)
    assert.match(err, /standard output +0:10 +320044 bytes\n$/)
    assert.isFalse(Fs.existsSync("-") || Fs.existsSync("-.part"))
    const closed = start(["fetch", "piped", "-o", "-"], {}, ({ stdout }) => stdout?.destroy())
    assert.deepStrictEqual(
      [(await closed.done).code, /spillway: Standard output was closed/.test((await closed.done).err)],
      [1, true]
    )
  })

  it("fetches many audio files under names that sort, with few lines, and says where there are more", async () => {
    const made = await run(["keys", "create", "many"])
    const own = { SPILLWAY_KEY: /^spw_\S{43}$/m.exec(made.out)?.[0] ?? "" }
    const starts = Array.from({ length: 101 }, (_, index) => 1_700_000_000 + index * 100)
    await streamAt({ url: server.url, key: own.SPILLWAY_KEY }, "many", starts)
    const directory = Fs.mkdtempSync(`${Path.dirname(dataDir)}/many-`)
    const { code, err, out } = await run(["fetch", "many", "-o", `${directory}/a.wav`], own)
    assert.strictEqual(code, 0, err)
    const names = Array.from({ length: 101 }, (_, index) => `a-${String(index + 1).padStart(3, "0")}.wav`)
    assert.deepStrictEqual(Fs.readdirSync(directory).sort(), names)
    assert.strictEqual(out, `${directory}/a-001.wav to ${directory}/a-101.wav  1:41  ${101 * 16_044} bytes\n`)
    assert.match(err, /^ +0 % audio file 1 of 101, /)
    assert.isBelow(err.trim().split("\n").length, 10)

    await streamAt({ url: server.url, key: own.SPILLWAY_KEY }, "newer", [1_750_000_000])
    const all = await run(["conversations"], own)
    assert.match(all.out, /^many .* 100\+\n?$/m)
    assert.match(all.err, /^A \+ marks more audio files .*: npm run spillway -- fetch ID\n$/)
    const first = await run(["conversations", "--limit", "1"], own)
    assert.notMatch(first.out, /^many/m)
    assert.match(
      first.err,
      /^There are older conversations\. To see more: npm run spillway -- conversations --limit 5\n$/
    )
    const bare = await run(["conversations", "--limit", "0"], own)
    assert.deepStrictEqual([bare.code, /expected 1 or more/.test(bare.err)], [1, true])
  })

  it("says before it sends where the audio goes, and that channels are mixed", async () => {
    const stereo = Path.join(Path.dirname(dataDir), "stereo.wav")
    Fs.writeFileSync(stereo, riff([fmt({ channels: 2 }), chunk("data", Buffer.alloc(64_000))]))
    const { code, err, out } = await run(["stream", stereo, "--fast"])
    assert.strictEqual(code, 0, err)
    const [, id = ""] = /^conversation (\S+)$/m.exec(out) ?? []
    const lines = err.split("\n")
    assert.strictEqual(lines[0], `The 2 channels of ${stereo} are mixed to one.`)
    assert.strictEqual(lines[1], `Sending it as the conversation ${id}`)
    assert.match(lines[2] ?? "", /sent /)
    assert.notInclude((await run(["stream", wav, "--fast", "--conversation", "named"])).err, "Sending it as")
  })

  it("creates, lists and revokes keys, and a revoked key is rejected", async () => {
    const made = await run(["keys", "create", "ada"])
    // Nothing but the key, so that a shell can take it.
    const [, key = ""] = /^(spw_\S{43})\n$/.exec(made.out) ?? []
    const id = /key_[\w-]+/.exec(made.err)?.[0] ?? ""
    assert.match((await run(["keys", "list"])).out, new RegExp(`^${id} +ada`, "m"))
    const refused = await run(["keys", "list"], { SPILLWAY_KEY: key })
    assert.deepStrictEqual([refused.code, /403/.test(refused.err)], [1, true])
    assert.strictEqual((await run(["keys", "revoke", id])).code, 0)
    const gone = await run(["keys", "list"], { SPILLWAY_KEY: key })
    assert.strictEqual(
      gone.err.split("\n")[0],
      "spillway: The server does not accept the key (401). Give a valid one with --key or SPILLWAY_KEY."
    )
  })

  it("rejects a date that does not exist and says what is valid, as the server does", async () => {
    const rolled = await run(["keys", "create", "ada", "--expires", "2030-02-31"])
    assert.strictEqual(rolled.code, 1)
    assert.include(rolled.err, "a date such as 2030-01-31 (its start, UTC) or 2030-01-31T09:30:00Z")
    const answer = await fetch(`${server.url}/v1/keys`, {
      method: "POST",
      headers: { authorization: `Bearer ${server.key}`, "content-type": "application/json" },
      body: JSON.stringify({ uid: "ada", expires_at: "2030-02-31T00:00:00Z" })
    })
    assert.deepStrictEqual(
      [answer.status, JSON.parse(await answer.text()).errors[0].path],
      [400, ["body", "expires_at"]]
    )
    assert.strictEqual((await run(["keys", "create", "eve", "--expires", "2030-01-31"])).code, 0)
    assert.match((await run(["keys", "list"])).out, /eve +\S+ \S+ +2030-01-31 00:00:00$/m)
  })

  it("fails with one line and exit code 1 when the server is unreachable or the file does not exist", async () => {
    const away = await run(["conversations", "--url", "http://127.0.0.1:1"])
    assert.deepStrictEqual([away.code, away.err.trim().split("\n").length], [1, 1])
    const missing = await run(["stream", "/nowhere.wav"])
    assert.deepStrictEqual([missing.code, missing.err], [1, "spillway: There is no file /nowhere.wav.\n"])
    await record("unwritable")
    const directory = await run(["fetch", "unwritable", "-o", dataDir])
    assert.match(directory.err, /^spillway: Can't write \S+ \(a directory\)\. Name another file with -o, .*\n$/)
    assert.isFalse(Fs.existsSync(`${dataDir}.part`))
    const one = await run(["fetch", "unwritable", "--file", "2"])
    assert.strictEqual(one.err, "spillway: unwritable has 1 audio file: --file takes 1.\n")
    const nothing = await run(["conversations", "--url", "localhost:8080"])
    assert.match(nothing.err, /flag --url: "localhost:8080". Expected: a URL such as https:/)
    const nowhere = await run(["fetch", "unwritable", "-o", `${dataDir}/nowhere/out.wav`])
    assert.deepStrictEqual(
      [nowhere.code, nowhere.err],
      [
        1,
        `spillway: Can't write ${dataDir}/nowhere/out.wav (no such file or directory). Name another file with -o, in a directory that exists and has room.\n`
      ]
    )
  })

  it("prints settings with secrets redacted, and names invalid ones", async () => {
    const secret = `spw_${"s".repeat(43)}`
    const good = await run(["config"], { SPILLWAY_ADMIN_KEY: secret })
    assert.strictEqual(good.code, 0)
    assert.match(good.out, /^SPILLWAY_ADMIN_KEY +set +environment$/m)
    assert.match(good.out, /^SETTING +VALUE +FROM\n\nNode\nSPILLWAY_DATA_DIR .*\n\nHttp\nSPILLWAY_HOST /)
    assert.notInclude(good.out, secret)
    const mistyped = await run(["config"], { SPILLWAY_COMIT_INTERVAL: "1 second", SPILLWAY_CLI_TRIES: "3" })
    assert.deepStrictEqual(
      [mistyped.code, mistyped.err],
      [0, "SPILLWAY_COMIT_INTERVAL is no setting and changes nothing. Did you mean SPILLWAY_COMMIT_INTERVAL?\n"]
    )
    const empty = await run(["config"], { DATABASE_URL: "", SPILLWAY_BUCKET: "" })
    assert.match(empty.out, /^DATABASE_URL +not set +default$/m)
    assert.deepStrictEqual(
      [empty.code, empty.err],
      [0, "DATABASE_URL, SPILLWAY_BUCKET are empty, which counts as not set.\n"]
    )
    const alone = await run(["config"], { SPILLWAY_PROTECTION: "enhanced" })
    assert.match(alone.out, /^SPILLWAY_MASTER_SECRETS +not set +expected 1 to 16 secrets .* is enhanced$/m)
    assert.deepStrictEqual(
      [alone.code, alone.err],
      [1, "spillway: The server would not start: SPILLWAY_MASTER_SECRETS can't be used.\n"]
    )
    const refused = await run(["config"], { DATABASE_URL: "postgres://u@host/d?sslmode=maybe" })
    assert.strictEqual(refused.code, 1)
    assert.match(refused.err, /^spillway: DATABASE_URL .*sslmode.*\n$/)
    const bad = await run(["config"], { SPILLWAY_PORT: "http" })
    assert.strictEqual(bad.code, 1)
    assert.match(bad.out, /^SPILLWAY_PORT +http +expected a whole number/m)
  })
})

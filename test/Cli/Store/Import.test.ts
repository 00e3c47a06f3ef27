/** `src/Cli/Store/ImportRun.ts` as a process: `spillway import` on a node's own store and database. */
import { execFile } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { afterAll, assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { Storage } from "../../../src/Storage.ts"
import { container, samples, toneShare } from "../../Recording/support/OpusTone.ts"
import { ramp } from "../../Recording/support/TestNode.ts"
import { bucket, layerFor } from "../../Storage/support/TestGcs.ts"
import { diskStorage } from "../../Storage/support/TestDisk.ts"
import { GcsServer } from "../../support/gcs/Server.ts"
import { dataDirectory, startServer } from "../../support/Server.ts"
import { processEnvironment } from "../../support/Settings.ts"
import { cli } from "../support/Command.ts"

const dataDir = dataDirectory()
afterAll(() => Fs.rmSync(Path.dirname(dataDir), { recursive: true, force: true, maxRetries: 20 }))

const runWith = (more: Readonly<Record<string, string>>, ...args: ReadonlyArray<string>) =>
  new Promise<{ readonly code: number; readonly out: string; readonly err: string }>((resolve) => {
    const env = { ...process.env, SPILLWAY_DATA_DIR: dataDir, ...processEnvironment(more) }
    const child = execFile(process.execPath, [...cli, "import", ...args], { env }, (_error, out, err) =>
      resolve({ code: child.exitCode ?? -1, out, err })
    )
  })

const run = (...args: ReadonlyArray<string>) => runWith({}, ...args)

const put = (objects: Readonly<Record<string, Uint8Array>>) =>
  Effect.forEach(Object.entries(objects), ([key, body]) =>
    Storage.use((storage) => storage.put({ key, body, contentType: "application/octet-stream", metadata: {} }))
  ).pipe(Effect.provide(diskStorage(dataDir)), Effect.scoped, Effect.runPromise)

it("makes existing objects playable, reports unusable ones, and does not run beside the server", async () => {
  await put({
    "chunks/admin/damaged/1700000000.000.bin": ramp(16_000),
    "chunks/admin/old/1700000000.000.bin": ramp(16_000),
    "chunks/admin/old/hello.txt": Buffer.from("hello"),
    "chunks/admin/spoken/1700000000.000.opus": container(samples * 2),
    "chunks/admin/spoken/1700000100.000.opus": Buffer.from("no Opus")
  })
  Fs.truncateSync(Path.join(dataDir, "objects/chunks/admin/damaged/1700000000.000.bin="), 100)
  const first = await run("--uid", "admin")
  assert.strictEqual(first.code, 1)
  assert.include(first.out, "2 chunks imported, 0 already known, 2 can't be used and play as silence\n")
  assert.notInclude(first.out, "keys create")
  assert.include(first.out, "\n1 is not named as a chunk and was left alone: chunks/admin/old/hello.txt\n")
  assert.include(first.out, "\n  1 not readable in the store: chunks/admin/damaged/1700000000.000.bin\n")
  assert.include(first.out, "\n  1 not decodable: chunks/admin/spoken/1700000100.000.opus\n")
  assert.include(first.out, "\n2 have no waveform yet; with --waveforms it is made")
  assert.include(first.err, "skipped chunks/admin/damaged/1700000000.000.bin: no metadata")
  assert.include(
    first.err,
    "skipped chunks/admin/spoken/1700000100.000.opus: 7 bytes are too short for an Opus container"
  )
  assert.include((await run("--uid", "admin")).out, "0 chunks imported, 2 already known")
  const drawn = await run("--uid", "admin", "--waveforms")
  assert.include(drawn.out, "0 chunks imported, 2 already known")
  assert.notInclude(drawn.out, "no waveform yet")
  assert.match((await run("--uid", "../x")).err, /Expected: 1 to 128 characters of A-Z a-z 0-9/)
  assert.match(
    (await run("--uid", "admin", "--sample-rate", "3")).err,
    /--sample-rate: "3". Expected: a whole number from 8000 to 48000\n/
  )
  const nobody = await run("--uid", "nobody")
  assert.deepStrictEqual([nobody.code, nobody.out.split("\n").length], [0, 2])
  assert.include(nobody.out, "0 objects: there is nothing under chunks/nobody/ in this node's store on disk.")

  const server = await startServer(dataDir)
  const headers = { authorization: `Bearer ${server.key}` }
  const hear = async (conversation: string) => {
    const found = await fetch(`${server.url}/v1/conversations/${conversation}`, { headers })
    const [file] = JSON.parse(await found.text()).audio_files
    const audio = await fetch(`${server.url}/v1/sync/audio/${conversation}/${file.id}?format=pcm`, { headers })
    return Buffer.from(await audio.arrayBuffer())
  }
  assert.isTrue((await hear("old")).equals(Buffer.from(ramp(16_000))))
  const tone = await hear("spoken")
  assert.strictEqual(tone.length, samples * 2)
  assert.isAbove(toneShare(tone, 1_000, 7_000), 0.95)
  const seen = await fetch(`${server.url}/v1/conversations/spoken/waveform?points=4`, { headers })
  for (const level of JSON.parse(await seen.text()).audio_files[0].high) assert.isAbove(level, 20)
  const whileRunning = await run("--uid", "admin")
  assert.strictEqual(whileRunning.code, 1)
  assert.match(
    whileRunning.err,
    /Another Spillway \(process \d+\) uses .*: stop it first, or give the server a database of yours \(DATABASE_URL\)/
  )
  assert.strictEqual((await hear("old")).length, 32_000)
  await server.stop()
})

it("reads the bucket of --bucket, and rejects one that is not the server's", async () => {
  const gcs = await GcsServer.start({ buckets: [bucket] })
  const env = { SPILLWAY_GCS_ENDPOINT: gcs.url }
  try {
    const object = { body: ramp(10), contentType: "application/octet-stream", metadata: {} }
    await Storage.use((storage) => storage.put({ key: "chunks/ada/c/1.000.bin", ...object })).pipe(
      Effect.provide(layerFor(gcs.url)),
      Effect.runPromise
    )
    const other = await runWith({ ...env, SPILLWAY_BUCKET: "another-one" }, "--bucket", bucket, "--uid", "ada")
    assert.strictEqual(other.code, 1)
    assert.include(other.err, `SPILLWAY_BUCKET: expected the bucket of --bucket, ${bucket}, found another-one`)
    const none = await runWith(env, "--bucket", "NO BUCKET", "--uid", "ada")
    assert.include(none.err, "SPILLWAY_BUCKET: expected the name of a bucket")
    const { code, err, out } = await runWith(env, "--bucket", bucket, "--uid", "ada")
    assert.strictEqual(code, 0, err)
    assert.match(out, /^1 chunk imported, 0 already known$/m)
    const nobody = await runWith(env, "--bucket", bucket, "--uid", "nobody")
    assert.include(nobody.out, `0 objects: there is nothing under chunks/nobody/ in the bucket ${bucket}.`)
    assert.include(out, `A server with SPILLWAY_BUCKET=${bucket} plays them.`)
    const again = await runWith({ ...env, SPILLWAY_BUCKET: bucket }, "--bucket", bucket, "--uid", "ada")
    assert.include(again.out, "0 chunks imported, 1 already known")
  } finally {
    await gcs.stop()
  }
})

it("says at each attempt why the bucket can't be reached, and gives up", async () => {
  const brief = { SPILLWAY_GCS_DEADLINE: "50 millis", SPILLWAY_CLI_TRIES: "3", CLI_BACKOFF: "1 millis" }
  const env = { SPILLWAY_GCS_ENDPOINT: "http://127.0.0.1:1", ...brief }
  const { code, err } = await runWith(env, "--bucket", bucket, "--uid", "ada")
  assert.strictEqual(code, 1)
  const lines = err.trim().split("\n")
  assert.strictEqual(lines.length, 4)
  for (const line of lines) assert.include(line, "ECONNREFUSED")
  for (const line of lines.slice(0, -1)) assert.match(line, / Reconnecting in .* \(\d of 3\)\.$/)
  assert.match(lines.at(-1) ?? "", /^spillway: can't list/)
})

it("imports a bucket's copy from a directory, skips files that are no chunks, and changes nothing the second time", async () => {
  const copy = Path.join(Path.dirname(dataDir), "copy")
  const files = {
    "a/1700000000.000.bin": ramp(16_000),
    "a/.DS_Store": ramp(1),
    "b/1700000000.000.opus": container(samples * 2)
  }
  for (const [name, bytes] of Object.entries(files)) {
    Fs.mkdirSync(Path.join(copy, "chunks/eve", Path.dirname(name)), { recursive: true })
    Fs.writeFileSync(Path.join(copy, "chunks/eve", name), bytes)
  }
  const first = await run("--from", copy, "--uid", "eve")
  assert.deepStrictEqual([first.code, first.err], [0, ""])
  assert.match(first.out, /^2 chunks imported, 0 already known$/m)
  assert.match(first.out, /^Listen with a key of eve, when the server runs: npm run spillway -- keys create eve$/m)
  assert.include((await run("--from", copy, "--uid", "eve")).out, "0 chunks imported, 2 already known")
  Fs.writeFileSync(Path.join(copy, "chunks/eve/a/1700000000.000.bin"), ramp(8_000))
  Fs.mkdirSync(Path.join(copy, "chunks/eve/a/1.000.bin"))
  const other = await run("--from", copy, "--uid", "eve")
  assert.strictEqual(other.code, 1)
  assert.include(other.err, "skipped chunks/eve/a/1.000.bin: it is not a readable file\n")
  assert.include(other.err, "skipped chunks/eve/a/1700000000.000.bin: ")
  const none = await run("--from", copy, "--uid", "nobody")
  assert.deepStrictEqual(
    [none.code, none.err],
    [1, `spillway: There is no directory ${copy}/chunks/nobody: check --uid.\n`]
  )
  for (const level of ["chunks", "chunks/eve"]) {
    const directory = Path.join(copy, level)
    const wrong = await run("--from", directory, "--uid", "eve")
    const said = `spillway: There is no directory ${directory}/chunks: give the directory that holds chunks/.\n`
    assert.deepStrictEqual([wrong.code, wrong.err], [1, said])
  }
})

/** `src/Cli/Store/GcRun.ts` as a process: `spillway gc` on a node's own store and database. */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { afterAll, assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { Storage } from "../../../src/Storage.ts"
import { ramp } from "../../Recording/support/TestNode.ts"
import { diskStorage } from "../../Storage/support/TestDisk.ts"
import { dataDirectory } from "../../support/Server.ts"
import { processEnvironment } from "../../support/Settings.ts"
import { cli } from "../support/Command.ts"

const dataDir = dataDirectory()
const report = Path.join(Path.dirname(dataDir), "report.jsonl")
afterAll(() => Fs.rmSync(Path.dirname(dataDir), { recursive: true, force: true, maxRetries: 20 }))

const start = (...args: ReadonlyArray<string>) => {
  const env = { ...process.env, SPILLWAY_DATA_DIR: dataDir, ...processEnvironment({ ORPHAN_AGE: "1 millis" }) }
  const child = spawn(process.execPath, [...cli, ...args], { env, stdio: ["ignore", "pipe", "pipe"] })
  let text = ""
  child.stdout.setEncoding("utf8").on("data", (more: string) => (text += more))
  child.stderr.setEncoding("utf8").on("data", (more: string) => (text += more))
  return { child, text: () => text }
}

const exited = async (child: ChildProcess) => {
  if (child.exitCode === null && child.signalCode === null) await once(child, "close")
  return child.exitCode
}

const run = async (...args: ReadonlyArray<string>) => {
  const { child, text } = start(...args)
  assert.strictEqual(await exited(child), 0, text())
  return text()
}

const put = (keys: ReadonlyArray<string>) =>
  Effect.forEach(
    keys,
    (key) =>
      Storage.use((storage) =>
        storage.put({ key, body: ramp(100), contentType: "application/octet-stream", metadata: {} })
      ),
    { concurrency: 16, discard: true }
  ).pipe(Effect.provide(diskStorage(dataDir)), Effect.scoped, Effect.runPromise)

const keys = (uid: string, count: number) =>
  Array.from({ length: count }, (_, at) => `chunks/${uid}/c/${1_700_000_000 + at}.000.bin`)

it("deletes the orphans, also after a kill in the middle, and no object that has a row", async () => {
  await put([...keys("ada", 20), ...keys("eve", 1_500), "chunks/eve/c/notes.txt"])
  await run("import", "--uid", "ada")
  const found = await run("gc", "--report", report)
  assert.match(found, /^1,521 objects, 20 rows of chunks$/m)
  assert.match(found, /^1,500 orphans, 0\.3 MB: chunks without a row, older than /m)
  assert.match(found, /^1 object with foreign names, left alone$/m)
  const left = () => Fs.readdirSync(Path.join(dataDir, "objects/chunks/eve/c")).length
  assert.strictEqual(left(), 1_501)

  const { child, text } = start("gc", "--delete", report)
  const watcher = Fs.watch(Path.join(dataDir, "objects/chunks/eve/c"), () => child.kill("SIGKILL"))
  await exited(child)
  watcher.close()
  assert.strictEqual(child.signalCode, "SIGKILL", text())
  assert.isAbove(left(), 1, "killed in the middle")
  assert.isBelow(left(), 1_501, "killed in the middle")

  assert.match(await run("gc", "--delete", report), /1,500 orphans deleted\.\n/)
  assert.strictEqual(left(), 1)
  assert.match(await run("gc", "--report", report), /^21 objects, 20 rows of chunks\n0 orphans, /m)
  assert.match(await run("import", "--uid", "ada"), /^0 chunks imported, 20 already known$/m)
})

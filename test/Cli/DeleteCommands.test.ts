/** `spillway delete` and `spillway purge` as processes, against a real server. */
import { spawn, spawnSync } from "node:child_process"
import { assert, it } from "@effect/vitest"
import { streamAt } from "../support/Capturer.ts"
import { findProgram } from "../support/Programs.ts"
import { processEnvironment } from "../support/Settings.ts"
import { fileServer } from "../support/TestServer.ts"
import { cli } from "./support/Command.ts"

const server = fileServer()

/** `answer`: a line of standard input; without it, there is no input. */
const run = (args: ReadonlyArray<string>, key: string, answer?: string) =>
  new Promise<{ readonly code: number | null; readonly out: string; readonly err: string }>((resolve) => {
    const child = spawn(process.execPath, [...cli, ...args], {
      env: { ...process.env, ...processEnvironment({ SPILLWAY_URL: server.url, SPILLWAY_KEY: key }) },
      stdio: ["pipe", "pipe", "pipe"]
    })
    let [out, err] = ["", ""]
    child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text))
    child.stderr.setEncoding("utf8").on("data", (text: string) => (err += text))
    child.stdin.end(answer === undefined ? "" : `${answer}\n`)
    child.once("close", (code) => resolve({ code, out, err }))
  })

const keyOf = async (uid: string): Promise<string> => {
  const response = await fetch(`${server.url}/v1/keys`, {
    method: "POST",
    headers: { authorization: `Bearer ${server.key}`, "content-type": "application/json" },
    body: JSON.stringify({ uid })
  })
  return JSON.parse(await response.text()).key
}

const record = (conversation: string, key: string) => streamAt({ url: server.url, key }, conversation, [1_760_000_000])

it("deletes a conversation after a yes, says what is gone, and when it was already deleted", async () => {
  const key = await keyOf("ada")
  await record("talk", key)
  for (const answer of [undefined, "", "no"]) {
    const kept = await run(["delete", "talk"], key, answer)
    assert.deepStrictEqual([kept.code, kept.out], [1, ""])
    assert.include(kept.err, "Conversation talk has 0:01 of audio")
    assert.include(kept.err, "Nothing was deleted. Confirm with yes, or use --yes.")
  }
  const gone = await run(["delete", "talk"], key, "yes")
  assert.strictEqual(gone.code, 0)
  assert.match(gone.out, /^Deleted: 1 conversation, \d chunks?, \d objects?\. Nothing is left\.\n$/)
  const again = await run(["delete", "talk", "--yes"], key)
  assert.deepStrictEqual([again.code, again.err], [0, ""])
  assert.match(again.out, /^Conversation talk was already deleted at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\.\n$/)
  const unknown = await run(["delete", "none", "--yes"], key)
  assert.deepStrictEqual([unknown.code, unknown.out], [1, ""])
  assert.include(unknown.err, "There is no conversation with this id.")
})

const curl = findProgram("curl", "a test of the curl command that undoes a deletion")

/** Runs the curl command, or sends its request where there is no curl. */
const undone = async (command: string): Promise<string> => {
  if (curl !== undefined) {
    const env = { ...process.env, SPILLWAY_KEY: server.key }
    return JSON.parse(spawnSync("sh", ["-c", `${command} -s`], { encoding: "utf8", env }).stdout).status
  }
  const [url = ""] = /http[^\s'"]+/.exec(command) ?? []
  const response = await fetch(url, { method: "DELETE", headers: { authorization: `Bearer ${server.key}` } })
  return JSON.parse(await response.text()).status
}

it("deletes a user's conversation with an admin's key, after a delay in which the printed command undoes it", async () => {
  const key = await keyOf("joan")
  await record("talk", key)
  const own = await run(["delete", "talk", "--yes"], server.key)
  assert.include(own.err, "There is no conversation with this id.")

  const args = ["delete", "talk", "--uid", "joan", "--delay", "3600"]
  const later = await run(args, server.key, "yes")
  assert.strictEqual(later.code, 0)
  assert.include(later.err, "Conversation talk has 0:01 of audio.\nDelete in 3,600 seconds? Type yes:\n")
  assert.match(later.out, /^Conversation talk will be deleted at [-\d]{10} [:\d]{8} UTC\. Job [-\da-f]{36}\.\n$/)
  const [, undo = ""] = /undo with: (curl .*)/.exec(later.err) ?? []
  assert.strictEqual(await undone(undo), "cancelled")

  const gone = await run(["delete", "talk", "--uid", "joan", "--yes"], server.key)
  assert.match(gone.out, /^Deleted: 1 conversation, /)
  const wrong = await run(["delete", "talk", "--delay", "86401"], key)
  assert.include(wrong.err, `Invalid value for flag --delay: "86401". Expected: 0 to 86400\n`)
})

it("purges an account after showing what it has, with an admin's key and with its own", async () => {
  const [mary, eve] = [await keyOf("mary"), await keyOf("eve")]
  await record("talk", mary)
  await record("talk", eve)
  const byAdmin = run(["purge", "mary", "--yes"], server.key)
  const byItself = run(["purge", "eve"], eve, "yes")
  const admin = await byAdmin
  assert.strictEqual(admin.code, 0)
  assert.include(admin.err, "User mary has 1 conversation, 0:01 of audio and 1 key.")
  assert.match(admin.out, /^Deleted: 1 conversation, \d chunks?, \d objects?, 1 key\. Nothing is left\.\n$/)
  const own = await byItself
  assert.strictEqual(own.code, 0)
  assert.include(own.out, "The account and this key are deleted.")
  assert.include((await run(["purge", "nobody", "--yes"], server.key)).err, "There is no user with this id.")
})

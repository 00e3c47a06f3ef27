/** `src/Client` in a real Chromium, as the module that `scripts/Client.ts` builds. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert, it } from "@effect/vitest"
import type { CaptureClient, ClientOptions } from "../../src/Client.ts"
import { build } from "../../scripts/Client.ts"
import { testFolder } from "../support/TestFolder.ts"
import { kept } from "./support/RecordPanel.ts"
import { noise } from "./support/Sound.ts"
import { ownSuite } from "./support/Suite.ts"

const here = ownSuite()

declare global {
  interface Window {
    connect: (options: Partial<ClientOptions>) => CaptureClient
    sendAll: (client: CaptureClient, audio: string) => Promise<void>
    client: CaptureClient
  }
}

const script = `
import { CaptureClient } from "./client.js"
window.connect = (options) => new CaptureClient({ url: location.origin, conversation: "browser", backoffMillis: 50, ...options })
window.sendAll = async (client, audio) => {
  const bytes = Uint8Array.from(atob(audio), (letter) => letter.charCodeAt(0))
  for (let at = 0; at < bytes.length; at += 3200) {
    const part = bytes.subarray(at, at + 3200)
    if (!(await client.ready(part.length))) return
    client.send(1_700_000_000 + at / 32_000, part)
  }
}
`

const open = async () => {
  // Chromium lets only a document of this machine's server connect to it.
  const opened = await here.open({}, "")
  const folder = testFolder()
  await build(folder)
  const client = Fs.readFileSync(Path.join(folder, "client.js"), "utf8")
  for (const [name, body] of Object.entries({ "program.js": script, "client.js": client })) {
    await opened.context.route(`**/${name}`, (route) => route.fulfill({ contentType: "text/javascript", body }))
  }
  await opened.page.addScriptTag({ url: "/program.js", type: "module" })
  return opened
}

it("resumes after SIGKILL, without loss or doubles, within its bound", async () => {
  const { broken, context, page } = await open()
  const pcm = noise(24, 16_000)
  const bufferBytes = 64 * 1024
  await page.evaluate(
    ({ audio, bufferBytes, key }) => {
      window.client = window.connect({ key, bufferBytes })
      void window.sendAll(window.client, audio).then(() => (document.body.dataset["sent"] = "yes"))
    },
    { key: here.server.key, audio: pcm.toString("base64"), bufferBytes }
  )
  for (const share of [0.1, 0.4]) {
    await page.waitForFunction((least) => window.client.totals.acknowledged > least, share * pcm.length)
    await here.server.kill()
    await page.waitForFunction(() => window.client.status.state === "waiting")
    assert.isAtMost(await page.evaluate(() => window.client.totals.unacknowledged), bufferBytes)
    assert.isUndefined(await page.evaluate(() => document.body.dataset["sent"]))
    await here.server.startAgain()
  }
  await page.waitForFunction(() => document.body.dataset["sent"] === "yes")
  const end = await page.evaluate(() => window.client.close({ deadlineMillis: 60_000 }))
  assert.deepStrictEqual([end.cause, end.unacknowledgedBytes], ["complete", 0])
  assert.isTrue((await kept(here.server, "browser")).equals(pcm))
  assert.deepStrictEqual(broken, [])
  await context.close()
})

it("reports why it ends, though the browser hides it", async () => {
  const { context, page } = await open()
  const refused = await page.evaluate(() => window.connect({ key: "wrong" }).ended)
  assert.deepStrictEqual([refused.cause, refused.httpStatus], ["refused", 401])
  const replaced = await page.evaluate(async (key) => {
    const first = window.connect({ key, conversation: "two" })
    await window.sendAll(first, btoa("\0\0"))
    while (first.totals.acknowledged === 0) await new Promise((resolve) => setTimeout(resolve, 10))
    window.connect({ key, conversation: "two" })
    return first.ended
  }, here.server.key)
  assert.deepStrictEqual([replaced.cause, replaced.closeCode], ["refused", 1008])
  await here.server.kill()
  const gone = await page.evaluate((key) => window.connect({ key, tries: 1 }).ended, here.server.key)
  assert.deepStrictEqual([gone.cause, gone.httpStatus], ["gave-up", undefined])
  assert.match(gone.reason, /^The server can't be reached/)
  await context.close()
})

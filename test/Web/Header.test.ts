/** What the header says in a real Chromium, whatever is shown below it: the key, a recording, the server. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { afterAll, assert, beforeAll, it } from "@effect/vitest"
import type { Browser } from "playwright-core"
import { dataDirectory, type Server, startServer } from "../support/Server.ts"
import { launch, open, temporary } from "./support/Chromium.ts"
import { reach, record, stored } from "./support/RecordPanel.ts"
import { noise, wav } from "./support/Sound.ts"

const microphone = temporary("microphone.wav")
let server: Server
let dataDir: string
let browser: Browser
const environment = (port = "0") => ({
  SPILLWAY_PORT: port,
  SPILLWAY_CHUNK_DURATION: "1 second",
  SPILLWAY_COMMIT_INTERVAL: "100 millis",
  SPILLWAY_SWEEP_INTERVAL: "1 second"
})

beforeAll(async () => {
  Fs.writeFileSync(microphone, wav(noise(4, 44_100), 44_100))
  dataDir = dataDirectory()
  ;[browser, server] = await Promise.all([launch(microphone), startServer(dataDir, environment())])
})

afterAll(async () => {
  await browser?.close()
  await server?.stop()
  Fs.rmSync(Path.dirname(dataDir), { recursive: true, force: true })
  Fs.rmSync(Path.dirname(microphone), { recursive: true, force: true })
})

it("says that a key is not known, and goes on at the list with one that is", async () => {
  const { broken, context, page } = await open(browser, server.url)
  const field = page.getByLabel("Key", { exact: true })
  await field.fill("spw_wrong")
  await field.press("Enter")
  await page.getByRole("heading", { name: "This key is not known" }).waitFor()
  await field.fill(server.key)
  await field.press("Enter")
  await page.getByText("There are two ways to begin").waitFor()
  assert.strictEqual(await page.evaluate(() => document.activeElement?.textContent), "Conversations")
  await page.getByRole("button", { name: "Copy the command" }).waitFor()
  assert.deepStrictEqual(broken, [])
  await context.close()
})

it("shows a recording and its end in every view and in the title, and says each change of it once", async () => {
  const { broken, context, page } = await open(browser, `${server.url}/#key=${server.key}`)
  await page.evaluate(() => {
    const said: Array<string> = []
    const status = document.querySelector("p.unseen")
    const note = () => {
      said.push(status?.textContent ?? "")
      document.body.dataset["said"] = said.join("|")
    }
    if (status !== null)
      new MutationObserver(note).observe(status, { childList: true, characterData: true, subtree: true })
  })
  await record(page)
  await reach(page, "onDisk", 0.3)
  assert.strictEqual(await page.title(), "● Recording – Spillway")
  await page.getByRole("link", { name: "Live view" }).click()
  await server.kill()
  await page.getByText("The server does not answer. Is it running?").first().waitFor()
  const height = () => page.locator("header").evaluate((header) => header.clientHeight)
  const away = await height()
  server = await startServer(dataDir, environment(new URL(server.url).port))
  await page.getByText("Connected", { exact: true }).waitFor()
  assert.strictEqual(await height(), away)
  await page.waitForFunction(() => /broke.*microphone is on/.test(document.body.dataset["said"] ?? ""))
  await page.getByRole("button", { name: "Stop recording" }).click()
  await page.getByRole("link", { name: "Recordings" }).click()
  await stored(page)
  assert.strictEqual(await page.title(), "Spillway")
  const said = (await page.locator("body").getAttribute("data-said"))?.split("|").filter((words) => words !== "")
  assert.deepStrictEqual(
    said?.map((words) => words.slice(0, 17)),
    ["The microphone is", "The connection br", "The microphone is", "The microphone is", "All of it is kept"]
  )
  assert.deepStrictEqual(broken, [])
  await context.close()
})

it("warns in every view while audio is lost, and says first in the live view what to do", async () => {
  const { broken, context, page } = await open(browser, `${server.url}/none`)
  // A node that loses more and more, as a full journal with a store that is away makes it.
  let lost = 0
  await page.route(/\/v1\/captures$/, async (route) => {
    const response = await route.fetch()
    const now = await response.json()
    for (const trouble of now.node.troubles) if (trouble.name === "seconds lost") trouble.count = lost
    await route.fulfill({ response, json: now })
    lost += 5
  })
  await page.goto(`${server.url}/#key=${server.key}`)
  await page.getByRole("link", { name: "Audio is being lost" }).waitFor()
  // As with another tab that has the stream: this one goes on asking.
  await page.evaluate(() => void navigator.locks.request("spillway-live", () => new Promise(() => {})))
  await page.getByRole("link", { name: "Audio is being lost" }).click()
  const first = page.getByRole("region", { name: "What stands out" }).getByRole("listitem").first()
  await first.getByText(/SPILLWAY_JOURNAL_BYTES/).waitFor()
  assert.match((await first.textContent()) ?? "", /^\d+ seconds lost since the startnow/)
  assert.deepStrictEqual(broken, [])
  await context.close()
})

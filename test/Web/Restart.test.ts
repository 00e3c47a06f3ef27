/** `src/Web/Page` while its server stops, is killed and restarts: nothing is lost, and the page says what happens. */
import { assert, it } from "@effect/vitest"
import { stream } from "../support/Capturer.ts"
import { microphone } from "../support/Browser.ts"
import { noted, spoken } from "./support/Chromium.ts"
import { heard } from "./support/Heard.ts"
import { api, job, keyOf, kept, name, reach, record, seconds, stop, stored } from "./support/RecordPanel.ts"
import { noise } from "./support/Sound.ts"
import { ownSuite } from "./support/Suite.ts"

const here = ownSuite()
const { rate } = microphone

it("loses nothing when the server is killed and its key expires in the middle of a recording", async () => {
  const [first, second] = [await keyOf(here.server, "ada"), await keyOf(here.server, "ada")]
  const { broken, context, page } = await here.open({}, `#key=${first.key}`)
  assert.strictEqual(page.url(), `${here.server.url}/`)
  await record(page)
  await reach(page, "onDisk", 1)
  await here.server.kill()
  await page.getByText("Reconnecting …").first().waitFor()
  await here.server.startAgain()
  await page.getByText("Connected", { exact: true }).waitFor()
  await reach(page, "onDisk", (await seconds(page, "sent")) + 0.5)

  await api(here.server, `/v1/keys/${first.id}`, { method: "DELETE" })
  // The page may learn of it from this server: then it does not reconnect before it has a key.
  await here.server.kill()
  await here.server.startAgain()
  const field = page.getByLabel("Key", { exact: true })
  await field.waitFor()
  await page.getByText("The server no longer accepts this key").waitFor()
  await page.waitForTimeout(500)
  await field.fill(second.key)
  await field.press("Enter")
  await reach(page, "onDisk", (await seconds(page, "sent")) + 0.5)
  await stop(page)
  await stored(page)
  const audio = await kept(here.server, await name(page), "ada")
  const whole = spoken((await noted(page)).sent, rate)
  assert.isTrue(audio.equals(whole), `${audio.length} bytes are kept of ${whole.length}`)
  assert.strictEqual(Math.round((await seconds(page, "sent")) * rate), audio.length / 2)
  assert.deepStrictEqual(broken, [])
  await context.close()
})

it("says that the server stops, and resumes when it is back", async () => {
  const { broken, context, page, samples } = await heard(here)
  await record(page)
  await reach(page, "onDisk", 0.3)
  await job(page).evaluate((job) => {
    new MutationObserver(() => {
      if (/The server stops or restarts/.test(job.textContent ?? "")) document.body.dataset["told"] = "yes"
    }).observe(job, { childList: true, characterData: true, subtree: true })
  })
  await here.server.stop()
  await page.waitForFunction(() => document.body.dataset["told"] === "yes")
  await here.server.startAgain()
  await reach(page, "onDisk", (await seconds(page, "sent")) + 0.3)
  await stop(page)
  await stored(page)
  assert.strictEqual((await kept(here.server, await name(page))).length / 2, await samples())
  assert.deepStrictEqual(broken, [])
  await context.close()
})

it("says when its buffer is full while the server is down, and sends what it has afterwards", async () => {
  const { broken, context, page } = await here.open({}, "none")
  await context.route(/Main-.*js/, async (route) => {
    const response = await route.fetch()
    const script = (await response.text()).replace("600*this.sampleRate", "2*this.sampleRate")
    assert.include(script, "2*this.sampleRate")
    await route.fulfill({ response, body: script })
  })
  await page.goto(`${here.server.url}/#key=${here.server.key}`)
  await record(page)
  await reach(page, "onDisk", 0.3)
  await here.server.kill()
  await page
    .getByText("Recording has stopped: 10 minutes wait for the server, the most that this page keeps.")
    .waitFor()
  await page.getByRole("button", { name: "Record", exact: true }).waitFor()
  await page.getByRole("button", { name: "Save what is not on the server" }).waitFor()
  await page.getByText(/Recording has stopped.*The server does not answer/).waitFor()
  await here.server.startAgain()
  await stored(page)
  const total = await seconds(page, "inStore")
  assert.isAbove(total, 1.9)
  assert.approximately((await kept(here.server, await name(page))).length / 2 / 44_100, total, 0.001)
  await page.getByText("Recording has stopped").waitFor()
  assert.deepStrictEqual(broken, [])
  await context.close()
})

it("shows a recording and its end in every view and in the title, and announces each change once", async () => {
  const { broken, context, page } = await here.open()
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
  await here.server.kill()
  await page.getByText("The server does not answer. Is it running?").filter({ visible: true }).first().waitFor()
  const height = () => page.locator("header").evaluate((header) => header.clientHeight)
  const away = await height()
  await here.server.startAgain()
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
    ["The microphone is", "The connection br", "The microphone is", "The microphone is", "All audio is in t"]
  )
  assert.deepStrictEqual(broken, [])
  await context.close()
})

it("resumes playback at the same position after the server was down", async () => {
  const all = noise(16, 8_000)
  const recorded = { conversation: "talk", pcm: all, start: 1_700_000_000, sampleRate: 8_000 }
  await stream(recorded, { server: () => here.server, speed: 1_000, frameSeconds: 1 })
  const { broken, context, page } = await here.open()
  await page.locator('li[data-conversation="talk"] .disclose').click()
  await page.getByRole("button", { name: "Play talk" }).click()
  await page.waitForFunction(() => window.noted.played.length > 1)
  await here.server.kill()
  await page.locator(".now-playing").getByText("Waiting for the server …").waitFor()
  await page.locator(".away").getByText("This page retries automatically").waitFor()
  await here.server.startAgain()
  const heard = async () =>
    Buffer.from(Int16Array.from((await noted(page)).played.flatMap((each) => each.samples)).buffer)
  await page.waitForFunction(
    (samples) => window.noted.played.reduce((sum, each) => sum + each.samples.length, 0) >= samples,
    all.length / 2
  )
  assert.isTrue((await heard()).equals(all))
  assert.strictEqual(await page.locator(".now-playing [role=alert]").textContent(), "")
  assert.deepStrictEqual(broken, [])
  await context.close()
})

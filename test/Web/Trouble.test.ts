/** Recording in a real Chromium when something is wrong: with the key, the device, the server, or how it is used. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { afterAll, assert, beforeAll, it } from "@effect/vitest"
import type { Browser } from "playwright-core"
import { dataDirectory, type Server, startServer } from "../support/Server.ts"
import { launch, open, temporary } from "./support/Chromium.ts"
import { api, drop, job, keyOf, kept, name, reach, record, seconds, stop, stored } from "./support/RecordPanel.ts"
import { noise, wav } from "./support/Sound.ts"

const microphone = temporary("microphone.wav")
let server: Server
let dataDir: string
let browser: Browser
const environment = (port = "0") => ({
  SPILLWAY_PORT: port,
  SPILLWAY_CHUNK_DURATION: "1 second",
  SPILLWAY_COMMIT_INTERVAL: "100 millis",
  SPILLWAY_SWEEP_INTERVAL: "1 second",
  SPILLWAY_KEY_CACHE_TIME: "50 millis",
  SPILLWAY_KEY_CHECK_INTERVAL: "100 millis"
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

/** The page, with its microphone's track at hand and the samples counted that the audio thread gave. */
const heard = async (key: string) => {
  const opened = await open(browser, `${server.url}/none`)
  await opened.context.addInitScript(() => {
    const ask = MediaDevices.prototype.getUserMedia
    MediaDevices.prototype.getUserMedia = async function (options) {
      const stream = await ask.call(this, options)
      window.addEventListener("unplug", () =>
        stream.getTracks().forEach((each) => each.dispatchEvent(new Event("ended")))
      )
      return stream
    }
    const start = MessagePort.prototype.start
    MessagePort.prototype.start = function () {
      this.addEventListener("message", ({ data }) => {
        const heard = Number(document.documentElement.dataset["heard"] ?? 0)
        if (data.pcm !== undefined) document.documentElement.dataset["heard"] = String(heard + data.pcm.byteLength / 2)
      })
      start.call(this)
    }
  })
  await opened.page.goto(`${server.url}/#key=${key}`)
  const samples = async () => Number(await opened.page.locator("html").getAttribute("data-heard"))
  return { ...opened, samples }
}

it("asks for another key when the one that records is revoked, and loses nothing", async () => {
  const [first, second] = [await keyOf(server, "ada"), await keyOf(server, "ada")]
  const { broken, context, page, samples } = await heard(first.key)
  await record(page)
  await reach(page, "onDisk", 0.5)
  await api(server, `/v1/keys/${first.id}`, { method: "DELETE" })
  await job(page).getByText("Waiting for a key").waitFor()
  const field = page.getByLabel("Key", { exact: true })
  await field.fill(second.key)
  await field.press("Enter")
  await reach(page, "onDisk", (await seconds(page, "sent")) + 0.5)
  await stop(page)
  await stored(page)
  assert.strictEqual((await kept(server, await name(page), "ada")).length / 2, await samples())
  assert.deepStrictEqual(broken, [])
  await context.close()
})

it("records once however often one presses, and goes on saying why a recording ended", async () => {
  const { broken, context, page } = await heard(server.key)
  await page.getByRole("button", { name: "Record", exact: true }).dblclick()
  await reach(page, "onDisk", 0.3)
  assert.strictEqual(await page.locator(".job").count(), 1)
  await page.evaluate(() => window.dispatchEvent(new Event("unplug")))
  await stored(page)
  await job(page).getByText("The microphone was disconnected: the recording has ended there.").waitFor()
  await page.getByRole("button", { name: "Record", exact: true }).waitFor()
  assert.deepStrictEqual(broken, [])
  await context.close()
})

it("gives every file a conversation of its own, whatever it is called", async () => {
  const { broken, context, page } = await open(browser, `${server.url}/#key=${server.key}`)
  const [first, second] = [noise(2, 8_000, 1), noise(2, 8_000, 2)]
  await drop(page, { "\u5f55\u97f3.wav": wav(first, 8_000), "\u4f1a\u8bae.wav": wav(second, 8_000) })
  await page.getByText("Stored", { exact: true }).nth(1).waitFor()
  const named = await page.locator(".job").evaluateAll((all) => all.map((each) => each.dataset["conversation"] ?? ""))
  const [newer = "", older = ""] = named
  assert.isTrue((await kept(server, older)).equals(first))
  assert.isTrue((await kept(server, newer)).equals(second))
  await drop(page, { "a.mp3": Buffer.from("ID3"), "b.ogg": Buffer.from("OggS") })
  await page
    .getByRole("alert")
    .filter({ hasText: /a\.mp3 is an MP3 file.*b\.ogg is an Ogg file/s })
    .waitFor()
  assert.deepStrictEqual(broken, [])
  await context.close()
})

it("is done with a file at once when it is told to stop sending it", async () => {
  const { broken, context, page } = await open(browser, `${server.url}/#key=${server.key}`)
  const socket = page.waitForEvent("websocket")
  await drop(page, { "long.wav": wav(noise(900, 8_000), 8_000) })
  await reach(page, "onDisk", 1)
  const closed = (await socket).waitForEvent("close")
  await page.getByRole("button", { name: "Stop sending" }).click()
  await page.getByText("You stopped it. What is on the server's disk is kept.").waitFor()
  await closed
  await api(server, `/v1/conversations/${await name(page)}`)
  await page.getByRole("button", { name: /^Clear long-/ }).click()
  assert.strictEqual(await page.locator(".job").count(), 0)
  assert.deepStrictEqual(broken, [])
  await context.close()
})

it("says that the server stops, and goes on when it is there again", async () => {
  const { broken, context, page, samples } = await heard(server.key)
  await record(page)
  await reach(page, "onDisk", 0.3)
  await job(page).evaluate((job) => {
    new MutationObserver(() => {
      if (/The server stops or restarts/.test(job.textContent ?? "")) document.body.dataset["told"] = "yes"
    }).observe(job, { childList: true, characterData: true, subtree: true })
  })
  await server.stop()
  await page.waitForFunction(() => document.body.dataset["told"] === "yes")
  server = await startServer(dataDir, environment(new URL(server.url).port))
  await reach(page, "onDisk", (await seconds(page, "sent")) + 0.3)
  await stop(page)
  await stored(page)
  assert.strictEqual((await kept(server, await name(page))).length / 2, await samples())
  assert.deepStrictEqual(broken, [])
  await context.close()
})

it("says that it keeps no more while the server is away, and sends what it has", async () => {
  const { broken, context, page } = await open(browser, `${server.url}/none`)
  await context.route(/Main-.*js/, async (route) => {
    const response = await route.fetch()
    const script = (await response.text()).replace("600*this.sampleRate", "2*this.sampleRate")
    assert.include(script, "2*this.sampleRate")
    await route.fulfill({ response, body: script })
  })
  await page.goto(`${server.url}/#key=${server.key}`)
  await record(page)
  await reach(page, "onDisk", 0.3)
  await server.kill()
  await page.getByText("Recording has stopped: 10 minutes wait for the server, and no more are kept here.").waitFor()
  await page.getByRole("button", { name: "Record", exact: true }).waitFor()
  await page.getByRole("button", { name: "Save what is not on the server" }).waitFor()
  await page.getByText(/Recording has stopped.*The server does not answer/).waitFor()
  server = await startServer(dataDir, environment(new URL(server.url).port))
  await stored(page)
  const total = await seconds(page, "inStore")
  assert.isAbove(total, 1.9)
  assert.approximately((await kept(server, await name(page))).length / 2 / 44_100, total, 0.001)
  await page.getByText("Recording has stopped").waitFor()
  assert.deepStrictEqual(broken, [])
  await context.close()
})

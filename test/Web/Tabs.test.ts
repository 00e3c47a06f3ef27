/** The page kept open: in many tabs, over restarts of the server, with more going on than one page of the list. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { afterAll, assert, beforeAll, it } from "@effect/vitest"
import type { Browser, Page } from "playwright-core"
import { WebSocket } from "ws"
import { audioFrame, stream, switchTo } from "../support/Capturer.ts"
import { dataDirectory, type Server, startServer } from "../support/Server.ts"
import { launch, noted, open } from "./support/Chromium.ts"
import { noise } from "./support/Sound.ts"

const rate = 8_000
/** Longer than what is fetched ahead. */
const talkSeconds = 16
let server: Server
let dataDir: string
let browser: Browser
const environment = (port = "0") => ({
  SPILLWAY_PORT: port,
  SPILLWAY_COMMIT_INTERVAL: "50 millis",
  SPILLWAY_CAPTURES_PER_USER: "100",
  SPILLWAY_FRAMES_PER_SECOND: "100000"
})

beforeAll(async () => {
  dataDir = dataDirectory()
  ;[browser, server] = await Promise.all([launch(), startServer(dataDir, environment())])
})

afterAll(async () => {
  await browser?.close()
  await server?.stop()
  Fs.rmSync(Path.dirname(dataDir), { recursive: true, force: true })
})

const send = (conversation: string, seconds: number) =>
  stream(
    { conversation, pcm: noise(seconds, rate), start: 1_700_000_000, sampleRate: rate },
    { server: () => server, speed: 1_000, frameSeconds: 1 }
  )

const card = (page: Page, name: string) => page.locator(`li[data-conversation="${name}"]`)

it("works in eight tabs at once, the live view too", async () => {
  await send("talk", talkSeconds)
  const { broken, context, page } = await open(browser, `${server.url}/#key=${server.key}`)
  const tabs = [page]
  for (let count = 1; count < 8; count++) {
    const tab = await context.newPage()
    tab.setDefaultTimeout(10_000)
    await tab.goto(`${server.url}/#key=${server.key}`)
    tabs.push(tab)
    await card(tab, "talk").waitFor()
    await tab.getByRole("link", { name: "Live view" }).click()
    await tab.getByRole("row", { name: /^journal/ }).waitFor()
  }
  await tabs[0]?.reload()
  await card(page, "talk").waitFor()
  assert.deepStrictEqual(broken, [])
  await context.close()
})

it("goes on playing where it was when the server has been away", async () => {
  const { broken, context, page } = await open(browser, `${server.url}/#key=${server.key}`)
  await card(page, "talk").locator(".disclose").click()
  await page.getByRole("button", { name: "Play talk" }).click()
  await page.waitForFunction(() => window.noted.played.length > 1)
  const { port } = new URL(server.url)
  await server.kill()
  await page.locator(".now-playing").getByText("Waiting for the server …").waitFor()
  await page.locator(".away").getByText("This page tries again by itself").waitFor()
  server = await startServer(dataDir, environment(port))
  const all = noise(talkSeconds, rate)
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

it("follows what is live however much is newer, and asks for no waveform that nobody sees", async () => {
  const url = `${server.url.replace("http", "ws")}/v1/trigger/listen?sample_rate=${rate}&audio_timeline=2&ack=1`
  const socket = new WebSocket(url, { headers: { authorization: `Bearer ${server.key}` } })
  await new Promise((resolve) => socket.once("open", resolve))
  socket.send(switchTo("going-on"))
  socket.send(audioFrame(Date.now() / 1000, noise(1, rate)))
  const { broken, context, page } = await open(browser, `${server.url}/#key=${server.key}`)
  const live = card(page, "going-on").getByText("Live", { exact: true })
  await live.waitFor()
  await page.getByRole("button", { name: "Listen live" }).waitFor()
  await Promise.all(Array.from({ length: 25 }, (_, index) => send(`newer-${index}`, 0.1)))
  await card(page, "newer-3").waitFor()
  let asked = 0
  page.on("request", (request) => {
    if (request.url().includes("/going-on/waveform")) asked++
  })
  await page.waitForResponse(/conversations\?limit=/)
  await page.waitForResponse(/conversations\?limit=/)
  assert.strictEqual(asked, 0)
  assert.strictEqual(await live.count(), 1)
  socket.close()
  await live.waitFor({ state: "detached" })
  await card(page, "going-on").getByRole("button", { name: "Play going-on" }).waitFor()
  assert.deepStrictEqual(broken, [])
  await context.close()
})

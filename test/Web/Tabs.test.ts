/** `src/Web/Page` kept open: in many tabs, and with more live conversations than one page of the list. */
import { assert, it } from "@effect/vitest"
import type { Page } from "playwright-core"
import { audioFrame, stream, switchTo } from "../support/Capturer.ts"
import { openCaptureSocket } from "../support/CaptureSocket.ts"
import { patience } from "./support/Chromium.ts"
import { noise } from "./support/Sound.ts"
import { type Place, sharedSuite } from "./support/Suite.ts"

const rate = 8_000
const here = sharedSuite()

const send = (server: Place, conversation: string, seconds: number) =>
  stream(
    { conversation, pcm: noise(seconds, rate), start: 1_700_000_000, sampleRate: rate },
    { server: () => server, speed: 1_000, frameSeconds: 1 }
  )

const card = (page: Page, name: string) => page.locator(`li[data-conversation="${name}"]`)

it("works in eight tabs at once, the live view included", async () => {
  const key = `#key=${here.admin.key}`
  await send(here.admin, "talk", 16)
  const { broken, context, page } = await here.open({}, key)
  const tabs = [page]
  for (let count = 1; count < 8; count++) {
    const tab = await context.newPage()
    tab.setDefaultTimeout(patience)
    await tab.goto(`${here.admin.url}/${key}`)
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

it("follows live conversations however many are newer, and requests no invisible waveform", async () => {
  const query = `?sample_rate=${rate}&audio_timeline=2&ack=1`
  const { socket } = await openCaptureSocket(here.server, { query })
  socket.send(switchTo("ongoing"))
  socket.send(audioFrame(Date.now() / 1000, noise(1, rate)))
  const { broken, context, page } = await here.open()
  const live = card(page, "ongoing").getByText("Live", { exact: true })
  await live.waitFor()
  await page.getByRole("button", { name: "Listen live" }).waitFor()
  await Promise.all(Array.from({ length: 25 }, (_, index) => send(here.server, `newer-${index}`, 0.1)))
  await card(page, "newer-3").waitFor()
  let asked = 0
  page.on("request", (request) => {
    if (request.url().includes("/ongoing/waveform")) asked++
  })
  await page.waitForResponse(/conversations\?limit=/)
  await page.waitForResponse(/conversations\?limit=/)
  assert.strictEqual(asked, 0)
  assert.strictEqual(await live.count(), 1)
  socket.close()
  await live.waitFor({ state: "detached" })
  await card(page, "ongoing").getByRole("button", { name: "Play ongoing" }).waitFor()
  assert.deepStrictEqual(broken, [])
  await context.close()
})

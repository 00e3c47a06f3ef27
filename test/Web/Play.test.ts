/** `src/Web/Page/Play` in a real Chromium: seeking, positions, and playback in other views. */
import { assert, beforeAll, it } from "@effect/vitest"
import type { Page } from "playwright-core"
import { stream, streamAt } from "../support/Capturer.ts"
import { noise } from "./support/Sound.ts"
import { sharedSuite } from "./support/Suite.ts"

const rate = 8_000
const seconds = 600
const here = sharedSuite()

const send = (conversation: string, length: number) =>
  stream(
    { conversation, pcm: noise(length, rate), start: 1_700_000_000, sampleRate: rate },
    { server: () => here.server, speed: 2_000, frameSeconds: 2 }
  )

beforeAll(async () => {
  await Promise.all([send("first", seconds), send("second", seconds)])
  for (let index = 0; index < 12; index++) await send(`short-${index}`, 1)
})

const card = (page: Page, name: string) => page.locator(`li[data-conversation="${name}"]`)
const slider = (page: Page, name: string) => page.getByRole("slider", { name: `Position in ${name}` })
const valueOf = async (page: Page, name: string) => Number(await slider(page, name).inputValue())
const at = async (page: Page, name: string, share: number) => {
  await card(page, name).locator("canvas").scrollIntoViewIfNeeded()
  const box = await card(page, name).locator("canvas").boundingBox()
  return { x: (box?.x ?? 0) + (box?.width ?? 0) * share, y: (box?.y ?? 0) + 20 }
}
const playing = (page: Page) => page.getByRole("region", { name: "Now playing" })

it("shows the position while it is dragged, and plays from there when it is released", async () => {
  const { broken, context, page } = await here.open()
  await card(page, "first").locator(".disclose").click()
  await page.getByRole("button", { name: "Play first" }).click()
  await page.waitForFunction(() => window.noted.played.length > 3)
  let asked = 0
  page.on("request", (request) => {
    if (request.url().includes("/v1/sync/audio")) asked++
  })
  const [from, to] = [await at(page, "first", 0.1), await at(page, "first", 0.8)]
  await page.mouse.move(from.x, from.y)
  await page.mouse.down()
  const steps = 60
  await page.mouse.move(to.x, to.y, { steps })
  await page.waitForFunction(() => document.querySelector(".times")?.textContent?.startsWith("8:0"))
  const dragged = asked
  await page.mouse.up()
  await page.waitForFunction(() => document.querySelector(".now-playing .number")?.textContent?.startsWith("8:"))
  // Playback goes on meanwhile, and reads ahead.
  assert.isBelow(dragged, steps / 3)
  await page.mouse.move(0, 0)
  await page.waitForFunction(() => document.querySelector(".times")?.textContent?.startsWith("8:"))
  assert.deepStrictEqual(broken, [])
  await context.close()
})

it("keeps each file's position, and plays another file from where it is clicked", async () => {
  const { broken, context, page } = await here.open()
  for (const name of ["first", "second"]) await card(page, name).locator(".disclose").click()
  const click = async (name: string, share: number) => {
    const { x, y } = await at(page, name, share)
    await page.mouse.click(x, y)
  }
  await click("first", 0.25)
  await click("second", 0.75)
  assert.approximately(await valueOf(page, "first"), 0.25 * seconds, 5)
  assert.approximately(await valueOf(page, "second"), 0.75 * seconds, 5)
  await page.getByRole("button", { name: "Play first" }).click()
  await page.getByRole("button", { name: "Pause first" }).waitFor()
  await click("first", 0.4)
  await click("second", 0.5)
  await page.getByRole("button", { name: "Pause second" }).waitFor()
  assert.approximately(await valueOf(page, "second"), 0.5 * seconds, 10)
  assert.approximately(await valueOf(page, "first"), 0.4 * seconds, 10)
  await slider(page, "second").press("k")
  await page.getByRole("button", { name: "Play second" }).waitFor()
  await slider(page, "second").press("Space")
  await page.getByRole("button", { name: "Pause second" }).waitFor()
  assert.deepStrictEqual(broken, [])
  await context.close()
})

it("plays from a collapsed row, pauses in the live view, and restores the scroll position of the list", async () => {
  const { broken, context, page } = await here.open({
    viewport: { width: 900, height: 500 }
  })
  await page.getByRole("button", { name: "Play first" }).click()
  await playing(page).getByText("first", { exact: true }).waitFor()
  assert.strictEqual(await page.getByRole("slider").count(), 0)
  const place = await page.evaluate(() => window.scrollY)
  assert.isAbove(place, 100)
  // A click of Playwright's would scroll first.
  await page.getByRole("link", { name: "Live view" }).dispatchEvent("click")
  await page.getByRole("heading", { name: "Live view" }).waitFor()
  await playing(page).getByRole("button", { name: "Pause" }).click()
  await playing(page).getByRole("button", { name: "Resume" }).waitFor()
  await page.getByRole("link", { name: "Recordings" }).click()
  await card(page, "first").waitFor()
  assert.strictEqual(await page.evaluate(() => window.scrollY), place)
  await playing(page).getByRole("button", { name: "Close" }).click()
  await playing(page).waitFor({ state: "detached" })
  assert.deepStrictEqual(broken, [])
  await context.close()
})

it("shows the latest audio files of a conversation, and all earlier ones on demand", async () => {
  await streamAt(
    here.server,
    "many",
    Array.from({ length: 130 }, (_, index) => 1_700_100_000 + index * 100)
  )
  const { broken, context, page } = await here.open()
  await card(page, "many").locator(".disclose").click()
  const files = card(page, "many").locator(".file")
  const shown = async (count: number) => {
    await page.waitForFunction(
      (count) => document.querySelectorAll(`li[data-conversation="many"] .file`).length === count,
      count
    )
    return await files.first().locator("h5").textContent()
  }
  const latest = await shown(50)
  await card(page, "many").getByText("The last 50 of more than 100 audio files.").waitFor()
  const earlier = card(page, "many").getByRole("button", { name: "Show earlier ones" })
  await earlier.click()
  assert.notStrictEqual(await shown(100), latest)
  await earlier.click()
  await shown(130)
  await earlier.waitFor({ state: "detached" })
  assert.strictEqual(await card(page, "many").getByText("audio files").count(), 0)
  // Those of the second page can be drawn, and played, as well.
  await files.first().getByRole("slider").waitFor()
  await files
    .first()
    .getByRole("button", { name: /^Play many/ })
    .click()
  await page.waitForFunction(() => window.noted.played.length > 0)
  assert.deepStrictEqual(broken, [])
  await context.close()
})

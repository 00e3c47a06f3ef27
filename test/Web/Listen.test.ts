/** `src/Web/Page/List` and `src/Web/Page/Play` in a real Chromium: long conversations, the keyboard, accessibility, themes. */
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert, it } from "@effect/vitest"
import { findProgram } from "../support/Programs.ts"
import { inspect } from "./support/Inspect.ts"
import { card, longTalk, longTalkSettings, rate, seekTo, send } from "./support/LongTalk.ts"
import { noise } from "./support/Sound.ts"
import { ownSuite } from "./support/Suite.ts"
import { testFolder } from "../support/TestFolder.ts"

const here = ownSuite(longTalkSettings)

it("explains itself, asks for a key, and shows the two ways to start", async () => {
  const { broken, context, page } = await here.open({}, "")
  await page.getByLabel("Key", { exact: true }).waitFor()
  await inspect(page, "key")
  for (const wrong of ["spw_wrong", "\u043a\u043b\u044e\u0447"]) {
    await page.getByLabel("Key", { exact: true }).fill(wrong)
    await page.getByRole("button", { name: "Continue" }).click()
    await page.getByText("This key is not known").waitFor()
  }
  await page.getByLabel("Key", { exact: true }).fill(here.server.key)
  await page.getByRole("button", { name: "Continue" }).click()
  await page.getByText("There are two ways to begin").waitFor()
  await page.getByText("npm run spillway -- stream").waitFor()
  await page.getByText("Connected", { exact: true }).waitFor()
  await inspect(page, "empty")
  await page.reload()
  await page.getByText("There are two ways to begin").waitFor()
  assert.deepStrictEqual(broken, [])
  await context.close()
})

it("loads less than 150 KB of scripts and styles", async () => {
  const { context, page } = await here.open()
  await page.getByRole("heading", { name: "Conversations" }).waitFor()
  const bytes = await page.evaluate(() =>
    performance
      .getEntriesByType("resource")
      .filter(({ name }) => name.includes("/assets/"))
      .reduce((sum, entry) => sum + (entry instanceof PerformanceResourceTiming ? entry.encodedBodySize : 0), 0)
  )
  assert.isAbove(bytes, 10_000)
  assert.isBelow(bytes, 150_000)
  await context.close()
})

it("plays from the exact sample after any seek in two hours", async () => {
  const pcm = longTalk()
  await send(here.server, "two-hours", pcm, 1_700_000_000)
  const { broken, context, page } = await here.open()
  assert.lengthOf(await seekTo(page, "two-hours", pcm, [0.8, 0.15, 0.5, 0.95, 0.3]), 5)
  assert.deepStrictEqual(broken, [])
  await context.close()
})

it("is used with the keyboard alone: record, stop, open, play, seek", async () => {
  const { broken, context, page } = await here.open()
  await page.getByText("Connected", { exact: true }).waitFor()
  const focused = () =>
    page.evaluate(() => {
      const { activeElement } = document
      return `${activeElement?.getAttribute("aria-label") ?? activeElement?.textContent ?? ""}`.trim()
    })
  const tabTo = async (name: RegExp) => {
    for (let count = 0; count < 60; count++) {
      if (name.test(await focused())) return
      await page.keyboard.press("Tab")
    }
    assert.fail(`Tab does not reach ${name}`)
  }
  await page.keyboard.press("Tab")
  assert.strictEqual(await focused(), "Skip to the content")
  await tabTo(/^Record$/)
  await page.keyboard.press("Enter")
  await page.getByRole("button", { name: "Stop", exact: true }).waitFor()
  await tabTo(/^Stop$/)
  await page.waitForFunction(
    () => Number(document.querySelector(".onDisk [role=progressbar]")?.getAttribute("data-seconds")) > 1
  )
  await page.keyboard.press("Space")
  await page.getByText("Stored", { exact: true }).waitFor()
  await tabTo(/^two-hours/)
  await page.keyboard.press("Enter")
  await tabTo(/^Play two-hours/)
  await page.keyboard.press("Space")
  await page.getByRole("button", { name: "Pause two-hours" }).waitFor()
  await tabTo(/^Position in two-hours/)
  for (const key of ["PageUp", "PageUp", "ArrowRight", "ArrowLeft"]) await page.keyboard.press(key)
  await page.waitForFunction(() =>
    /^1:4\d of 2:00:00$/.test(document.activeElement?.getAttribute("aria-valuetext") ?? "")
  )
  assert.deepStrictEqual(broken, [])
  await context.close()
})

it("shows live conversations, lost spans, gaps and the live view in every theme without accessibility violations", async () => {
  const { broken, context, page } = await here.open()
  await page.getByRole("button", { name: "Record", exact: true }).click()
  await page.getByText("Live", { exact: true }).waitFor()
  await send(here.server, "with-a-gap", noise(60, rate, 5), 1_700_100_000)
  await send(here.server, "with-a-gap", noise(60, rate, 6), 1_700_100_100)
  await card(page, "with-a-gap").getByText("2:00 captured in 2:40").waitFor()
  await page.getByRole("button", { name: "Listen live" }).click()
  await page.waitForFunction(() => window.noted.played.length > 2)
  await inspect(page, "recording")
  await page.getByRole("link", { name: "Live view" }).click()
  await page.getByRole("heading", { name: "Bounds" }).waitFor()
  await page.getByRole("row", { name: /^journal/ }).waitFor()
  await page.getByRole("row", { name: /^storage\.read \d/ }).waitFor()
  await page.getByRole("row", { name: /^recording-.*admin/ }).waitFor()
  await inspect(page, "live")
  assert.deepStrictEqual(broken, [])
  await context.close()
})

it("loads more conversations on scrolling, and downloads a file", async () => {
  await Promise.all(
    Array.from({ length: 25 }, (_, index) => send(here.server, `talk-${index}`, noise(1, rate), 1_700_200_000 + index))
  )
  const { broken, context, page } = await here.open()
  await page.locator(".conversation").nth(19).waitFor()
  assert.isBelow(await page.locator(".conversation").count(), 25)
  await page.mouse.wheel(0, 10_000)
  await card(page, "two-hours").waitFor()
  await card(page, "talk-3").locator(".disclose").click()
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    card(page, "talk-3")
      .getByRole("button", { name: /^Download/ })
      .click()
  ])
  const saved = Path.join(testFolder(), "saved.wav")
  await download.saveAs(saved)
  assert.isTrue(Fs.readFileSync(saved).subarray(44).equals(noise(1, rate)))
  assert.deepStrictEqual(broken, [])
  await context.close()
})

const curl = findProgram("curl", "a test of the curl command that the page copies")

it.skipIf(curl === undefined)("copies a curl command that downloads the file", async () => {
  await send(here.server, "curled", noise(1, rate), 1_700_300_000)
  const { broken, context, page } = await here.open({
    permissions: ["clipboard-read", "clipboard-write", "microphone"]
  })
  await card(page, "curled").locator(".disclose").click()
  await card(page, "curled").getByRole("button", { name: "Copy curl" }).click()
  await page.getByText("Copied").waitFor()
  const copied = await page.evaluate(() => navigator.clipboard.readText())
  await card(page, "curled").getByText("export SPILLWAY_KEY=").waitFor()
  const directory = testFolder()
  execFileSync("sh", ["-c", copied], {
    cwd: directory,
    env: { ...process.env, SPILLWAY_KEY: here.server.key },
    stdio: "pipe"
  })
  const [file = ""] = Fs.readdirSync(directory)
  assert.match(file, /^curled-.*\.wav$/)
  assert.isTrue(Fs.readFileSync(Path.join(directory, file)).subarray(44).equals(noise(1, rate)))
  assert.deepStrictEqual(broken, [])
  await context.close()
})

/** `src/Web/Page/Studio` in a real Chromium: going live with its microphone, moderation, and recordings. */
import { randomUUID } from "node:crypto"
import { assert, it } from "@effect/vitest"
import type { Page } from "playwright-core"
import { inspect } from "../support/Inspect.ts"
import { api, keyOf } from "../support/RecordPanel.ts"
import { sharedSuite } from "../support/Suite.ts"

const here = sharedSuite()
const slug = `talk-${randomUUID().slice(0, 8)}`
const bob = `bob-${randomUUID().slice(0, 8)}`

const openStudio = async () => {
  const opened = await here.open()
  await opened.page.getByText("Connected", { exact: true }).waitFor()
  await opened.page.getByRole("link", { name: "Studio" }).click()
  await opened.page.getByRole("heading", { name: "Studio", exact: true }).waitFor()
  return opened
}

const messages = (page: Page) => page.locator(".message")
const post = async (page: Page, text: string) => {
  await page.getByLabel(/^Message as/).fill(text)
  await page.keyboard.press("Enter")
}
const isNarrow = async (page: Page) => {
  await page.setViewportSize({ width: 320, height: 640 })
  assert.isAtMost(await page.evaluate(() => document.documentElement.scrollWidth), 320)
  await page.setViewportSize({ width: 1280, height: 860 })
}

it("goes live from the browser, is heard in a second page, chats with it and moderates it", async () => {
  const { broken, context, page } = await openStudio()
  await page.getByRole("button", { name: "Create a stream" }).focus()
  await page.keyboard.press("Enter")
  await page.waitForFunction(() => document.activeElement?.id === "stream-title")
  await page.keyboard.type("Late talk")
  assert.strictEqual(await page.getByLabel("Address").inputValue(), "late-talk")
  await page.keyboard.press("Tab")
  await page.keyboard.type("Not a slug")
  await page.keyboard.press("Enter")
  await page
    .getByRole("alert")
    .filter({ hasText: /^Expected 3 to 64 characters/ })
    .waitFor()
  assert.strictEqual(await page.getByLabel("Address").getAttribute("aria-invalid"), "true")
  await page.getByLabel("Address").fill(slug)
  await page.keyboard.press("Enter")
  await page.getByRole("heading", { name: `The stream key of ${slug}` }).waitFor()
  await page.waitForFunction(() => document.activeElement?.id === "secret-title")
  const key = (await page.locator(".new-secret .value").textContent()) ?? ""
  assert.match(key, /^spw_live_/)
  await page.getByRole("button", { name: "Done" }).click()
  assert.notInclude(await page.content(), key)

  const card = page.locator(`[data-slug="${slug}"]`)
  await card.getByRole("button", { name: "Go live with Late talk" }).click()
  await card.getByText("You are live.").waitFor()
  await card.getByText("Live", { exact: true }).waitFor()
  const guest = await here.open({}, `s/${slug}#key=${(await keyOf(here.admin, bob)).key}`)
  await guest.page.getByRole("button", { name: "Listen live" }).click()
  await guest.page.getByText("Playing live").waitFor()
  await card.getByText(/^[1-9][\d,]* kbit\/s$/).waitFor()
  const status = page.locator(".status .chip")
  assert.isTrue(await status.evaluate(({ clientWidth, scrollWidth }) => scrollWidth <= clientWidth), "is cut")
  await card.getByRole("button", { name: "Chat of Late talk" }).click()
  await post(guest.page, "hello from bob")
  await messages(page).filter({ hasText: "hello from bob" }).waitFor()
  await post(page, "hello from the studio")
  await messages(guest.page).filter({ hasText: "hello from the studio" }).waitFor()
  await inspect(page, "studio-live")
  await isNarrow(page)

  const row = messages(page).filter({ hasText: "hello from bob" })
  await page.setViewportSize({ width: 1280, height: 400 })
  await row.getByRole("button", { name: /^Actions/ }).click()
  const ban = row.getByRole("button", { name: `Ban ${bob}` })
  const isShown = await ban.evaluate((button) => {
    const log = button.closest(".chat-log")?.getBoundingClientRect()
    return log !== undefined && button.getBoundingClientRect().bottom <= log.bottom
  })
  assert.isTrue(isShown, "the menu scrolls into view")
  await page.setViewportSize({ width: 1280, height: 860 })
  await row.getByLabel(`Reason, for ${bob}`).fill("spam")
  await ban.click()
  await guest.page.getByText("You are banned from this chat: spam").waitFor()
  await row.getByRole("button", { name: /^Actions/ }).click()
  await row.getByRole("button", { name: "Delete message" }).click()
  await row.waitFor({ state: "detached" })
  await card
    .getByRole("listitem")
    .filter({ hasText: `${bob}banned by` })
    .waitFor()
  await card.getByRole("button", { name: `End the ban of ${bob}` }).click()
  await card.getByText(`${bob} may write again.`).waitFor()
  await guest.page.getByRole("button", { name: "Connect again" }).click()
  await guest.page.getByLabel(/^Message as/).waitFor()
  assert.strictEqual(await messages(guest.page).filter({ hasText: "hello from bob" }).count(), 0)

  await card.getByRole("button", { name: "Edit Late talk" }).click()
  await card.getByLabel("Address").waitFor()
  const changes = { method: "PATCH", body: JSON.stringify({ description: "changed elsewhere" }) }
  await api(here.server, `/api/v1/studio/streams/${slug}`, changes)
  await card.getByRole("button", { name: "Save changes" }).click()
  await card.getByText("It was changed elsewhere since you opened it.").waitFor()
  await card.getByRole("button", { name: "Cancel" }).click()
  await card.getByRole("button", { name: "Edit Late talk" }).click()
  await card.getByLabel("Address").fill(`${slug}-2`)
  await card.getByRole("button", { name: "Save changes" }).click()
  const renamed = page.locator(`[data-slug="${slug}-2"]`)
  await renamed.getByText("You are live.").waitFor()
  await page.getByRole("button", { name: "Stop the broadcast" }).click()
  await page.getByText("The broadcast has ended. Its recording is prepared below.").waitFor()
  await renamed.getByText("Not live", { exact: true }).waitFor({ timeout: 1_000 })
  await guest.page.goto(`${here.server.url}/s/${slug}-2`)
  await guest.page.getByText("Not live", { exact: true }).waitFor()
  for (const opened of [guest, { broken, context }]) {
    assert.deepStrictEqual(opened.broken, [])
    await opened.context.close()
  }
})

it("plays the recording with its chat in time, and changes, deletes and restores it", async () => {
  const { broken, context, page } = await openStudio()
  const card = page.locator(`[data-slug="${slug}-2"]`)
  await card.getByRole("button", { name: "Go live with Late talk" }).click()
  await card.getByRole("textbox", { name: "Stream key" }).fill("spw_live_of-yesterday")
  await page.keyboard.press("Enter")
  const refusal = card.getByText("The server does not accept this stream key: it is wrong, or was replaced.")
  await refusal.waitFor()
  await card.getByRole("button", { name: "Replace key of Late talk" }).click()
  await page.getByRole("button", { name: "Replace it" }).click()
  await page.getByRole("heading", { name: `The stream key of ${slug}-2` }).waitFor()
  await refusal.waitFor({ state: "detached" })
  await page.getByRole("button", { name: "Done" }).click()
  const row = page.locator(".vod", { hasText: slug })
  await row.getByText("Ready", { exact: true }).waitFor()
  const guest = await here.open({}, `s/${slug}-2`)
  await guest.page.getByRole("button", { name: /^Play Late talk/ }).click()
  await guest.page.waitForFunction(() => (document.querySelector("audio")?.currentTime ?? 0) > 0.5)
  const chat = guest.page.getByRole("region", { name: "Messages up to this moment" })
  const seek = (part: number) =>
    guest.page.evaluate((part) => {
      const audio = document.querySelector("audio")
      if (audio === null) return
      audio.pause()
      audio.currentTime = part * audio.duration
    }, part)
  await seek(0.999)
  await chat.getByText("hello from the studio").waitFor()
  assert.strictEqual(await chat.getByRole("listitem").count(), 1)
  await seek(0)
  await chat.getByText("No messages up to this moment.").waitFor()
  await isNarrow(guest.page)
  const [download] = await Promise.all([
    guest.page.waitForEvent("download"),
    guest.page.getByRole("link", { name: "Download" }).click()
  ])
  assert.match(download.suggestedFilename(), /^Late talk \d{4}-\d\d-\d\d\.wav$/)
  await guest.page.getByRole("button", { name: "Close" }).click()
  await guest.page.getByRole("heading", { name: "Chat", exact: true }).waitFor()

  await row.getByRole("button", { name: "Edit Late talk" }).click()
  await page.getByRole("form", { name: "Edit Late talk" }).getByLabel("Title").fill("Interview")
  await page.getByRole("button", { name: "Save" }).click()
  await row.getByText("Interview").waitFor()
  await page.waitForFunction(() => document.activeElement?.getAttribute("aria-label") === "Edit Interview")
  await page.getByRole("searchbox").fill("interv")
  await page.keyboard.press("Enter")
  await row.waitFor()
  await page.getByRole("searchbox").fill("nothing like it")
  await page.keyboard.press("Enter")
  await page.getByText("No recording matches.").waitFor()
  await page.getByRole("searchbox").fill("")
  await row.getByRole("button", { name: "Analytics Interview" }).click()
  await page.getByText("Views a day").waitFor()
  await inspect(page, "studio-recordings")
  await isNarrow(page)
  await row.getByRole("button", { name: "Delete Interview" }).click()
  await page.getByLabel("Status").selectOption("deleted")
  await row.getByText(/^Can be restored until/).waitFor()
  const cells = page.locator(".vods td")
  const areCut = await cells.evaluateAll((all) => all.some(({ clientWidth, scrollWidth }) => scrollWidth > clientWidth))
  assert.isFalse(areCut, "no cell is cut")
  await row.getByRole("button", { name: "Restore Interview" }).click()
  await row.getByRole("button", { name: "Play Interview" }).waitFor()
  for (const opened of [guest, { broken, context }]) {
    assert.deepStrictEqual(opened.broken, [])
    await opened.context.close()
  }
})

/** `src/Web/Page/Stream` and `src/Web/Page/Chat` in a real Chromium: the public page of a stream. */
import { randomUUID } from "node:crypto"
import { afterAll, assert, beforeAll, it } from "@effect/vitest"
import type { BrowserContextOptions, Page } from "playwright-core"
import { CaptureClient } from "../../../src/Client.ts"
import { inspect } from "../support/Inspect.ts"
import { api, keyOf } from "../support/RecordPanel.ts"
import { noise } from "../support/Sound.ts"
import { sharedSuite } from "../support/Suite.ts"

const here = sharedSuite()
const rate = 16_000
const slug = `show-${randomUUID().slice(0, 8)}`
const streams = "/api/v1/studio/streams"
const chat = `${streams}/${slug}/chat`

const create = async (fields: object): Promise<string> => {
  const body = JSON.stringify({ slug, title: "The <b>morning</b> show", ...fields })
  return JSON.parse(await (await api(here.server, streams, { method: "POST", body })).text()).key
}

/** A capture that sends a second of audio each second until it is ended. */
const goLive = (key: string) => {
  const client = new CaptureClient({ url: here.server.url, key, conversation: randomUUID(), sampleRate: rate })
  const start = Date.now() / 1_000
  let second = 0
  const send = () => client.send(start + second++, new Uint8Array(noise(1, rate, second)))
  send()
  const timer = setInterval(send, 1_000)
  return async () => {
    clearInterval(timer)
    await client.close({ deadlineMillis: 0 })
  }
}

/** Keeps the page's sockets and audio elements. */
const keepParts = `
window.sockets = []
window.WebSocket = class extends WebSocket {
  constructor(...args) {
    super(...args)
    window.sockets.push(this)
  }
}
const play = HTMLMediaElement.prototype.play
HTMLMediaElement.prototype.play = function () {
  window.heard = this
  return play.call(this)
}`

declare global {
  interface Window {
    sockets: Array<WebSocket>
    heard: HTMLMediaElement | undefined
  }
}

const visit = async (key?: string, options: BrowserContextOptions = {}) => {
  const opened = await here.open(options, "none")
  await opened.context.addInitScript(keepParts)
  await opened.page.goto(`${here.server.url}/s/${slug}${key === undefined ? "" : `#key=${key}`}`)
  return opened
}

const bob = `bob-${randomUUID().slice(0, 8)}`
let bobKey = ""
let end = async () => {}
beforeAll(async () => {
  const streamKey = await create({ description: "News & weather" })
  bobKey = (await keyOf(here.admin, bob)).key
  end = goLive(streamKey)
})
afterAll(() => end())

const texts = (page: Page) => page.locator(".message .text").allTextContents()
const post = async (page: Page, text: string) => {
  await page.getByLabel(/^Message as/).fill(text)
  await page.keyboard.press("Enter")
}

/** Names of the elements that Tab reaches, up to the form that takes a key. */
const tabOrder = async (page: Page, most: number): Promise<ReadonlyArray<string>> => {
  const names: Array<string> = []
  while (names.length < most && names.at(-1) !== "Enter a key to write in the chat") {
    await page.keyboard.press("Tab")
    const name = await page.evaluate(() => {
      const element = document.activeElement
      const label = element instanceof HTMLInputElement ? element.labels?.[0]?.textContent : undefined
      return `${label ?? element?.getAttribute("aria-label") ?? element?.textContent ?? ""}`.trim()
    })
    names.push(name)
  }
  return names
}

it("plays the live audio of a stream to a visitor, who reads the chat", async () => {
  const { broken, context, page } = await visit()
  await page.getByRole("heading", { name: "The <b>morning</b> show", level: 1 }).waitFor()
  await page.getByText("Live", { exact: true }).waitFor()
  await page.getByText("News & weather").waitFor()
  await page.getByLabel("Enter a key to write in the chat").waitFor()
  assert.match(await page.title(), /^● The <b>morning<\/b> show/)
  const focused = await tabOrder(page, 9)
  assert.deepStrictEqual(focused, ["Spillway", "Listen live", "Volume", "Messages", "Enter a key to write in the chat"])
  await page.getByRole("button", { name: "Listen live" }).focus()
  await page.keyboard.press("Space")
  await page.getByText("Playing live").waitFor()
  await page.waitForFunction(() => (window.heard?.currentTime ?? 0) > 0.5)
  await page.getByText("1 listener").waitFor()
  await page.getByRole("button", { name: "Stop listening" }).click()
  await page.getByText("Paused").waitFor()
  assert.isTrue(await page.evaluate(() => window.heard?.paused))
  await page.setViewportSize({ width: 320, height: 640 })
  assert.isAtMost(await page.evaluate(() => document.documentElement.scrollWidth), 320)
  assert.deepStrictEqual(broken, [])
  await context.close()
})

it("shows the same chat to all, without gaps after a lost connection, and markup as text", async () => {
  const ada = await visit(here.server.key)
  const reader = await visit()
  const markup = `<img src="x" onerror="document.title='broken'"> https://example.org`
  await post(ada.page, markup)
  await reader.page.locator(".message").getByText(markup).waitFor()
  assert.strictEqual(await reader.page.locator(".message img").count(), 0)
  await reader.page.locator("[role=status]").getByText(markup).waitFor()
  await reader.page.evaluate(() => window.sockets.at(-1)?.close())
  const rest = Array.from({ length: 5 }, (_, index) => `missed ${index}`)
  for (const text of rest)
    await api(here.server, `${chat}/messages`, { method: "POST", body: JSON.stringify({ text }) })
  await reader.page.locator(".message").getByText("missed 4").waitFor()
  assert.deepStrictEqual(await texts(reader.page), [markup, ...rest])
  assert.deepStrictEqual(await texts(ada.page), [markup, ...rest])
  assert.strictEqual(await reader.page.evaluate(() => window.sockets.length), 2)
  // Never more than one announcement in four seconds, whatever the rate of the chat.
  assert.strictEqual(await reader.page.locator(".chat [role=status].unseen").count(), 1)
  for (const { broken, context } of [ada, reader]) {
    assert.deepStrictEqual(broken, [])
    await context.close()
  }
})

it("tells a user of the slow mode, and lets the owner delete, time out and ban", async () => {
  const owner = await visit(here.server.key)
  const user = await visit(bobKey)
  await user.page.getByLabel(/^Message as/).waitFor()
  const menus = user.page.locator(".message .more")
  // What the server says when the socket opens comes at any time, and takes the permission back.
  while ((await menus.count()) === 0) {
    await user.page.evaluate((uid) => {
      const you = { uid, role: "moderator", permissions: ["delete"] }
      const data = JSON.stringify({ type: "you", you })
      window.sockets.at(-1)?.dispatchEvent(new MessageEvent("message", { data }))
    }, bob)
    await user.page.waitForTimeout(100)
  }
  await user.page.reload()
  await post(user.page, "first")
  await owner.page.locator(".message").getByText("first", { exact: true }).waitFor()
  await api(here.server, `${chat}/settings`, { method: "PATCH", body: JSON.stringify({ slow_mode_seconds: 60 }) })
  await user.page.getByText("Slow mode: 60 s").waitFor()
  await user.page.getByPlaceholder("Message, one in 60 s").waitFor()
  await owner.page.getByText("Slow mode: 60 s").waitFor()
  await owner.page.getByPlaceholder("Message", { exact: true }).waitFor()
  await post(user.page, "too soon")
  await user.page.getByText(/The chat is in slow mode: post again in \d+ s/).waitFor()
  await user.page.getByRole("button", { name: /^In \d+ s$/ }).waitFor()
  assert.strictEqual(await user.page.getByLabel(/^Message as/).inputValue(), "too soon")

  const row = owner.page.getByRole("listitem").filter({ hasText: "first" })
  const actions = row.getByRole("button", { name: `Actions for this message of ${bob}` })
  await actions.focus()
  await owner.page.keyboard.press("Enter")
  await row.getByLabel(`Reason, for ${bob}`).fill("calm down")
  await inspect(owner.page, "stream-moderate")
  await row.getByRole("button", { name: "Time out", exact: true }).click()
  await user.page.getByText(/^You can't write in this chat until/).waitFor()
  assert.isTrue(await user.page.getByLabel(/^Message as/).isDisabled())
  await actions.click()
  await row.getByLabel(`Reason, for ${bob}`).fill("spam")
  await row.getByRole("button", { name: `Ban ${bob}` }).click()
  await user.page.getByText("You are banned from this chat: spam").waitFor()
  await actions.click()
  await row.getByRole("button", { name: "Delete message" }).click()
  await row.waitFor({ state: "detached" })
  for (const { broken, context } of [owner, user]) {
    assert.deepStrictEqual(broken, [])
    await context.close()
  }
})

it("shows a private stream to who has its key, until its owner ends the broadcast in the studio", async () => {
  await api(here.server, `${streams}/${slug}`, { method: "PATCH", body: JSON.stringify({ visibility: "private" }) })
  const { broken, context, page } = await visit()
  await page.getByRole("heading", { name: "There is no such stream" }).waitFor()
  await page.getByLabel("If it is private").fill(here.server.key)
  await page.getByRole("button", { name: "Use key" }).click()
  await page.getByRole("heading", { name: "The <b>morning</b> show" }).waitFor()
  await page.getByRole("button", { name: "Listen live" }).click()
  await page.getByText("Playing live").waitFor()
  const studio = await here.open()
  await studio.page.getByText("Connected", { exact: true }).waitFor()
  await studio.page.getByRole("link", { name: "Studio" }).click()
  await studio.page.getByRole("button", { name: "End broadcast of The <b>morning</b> show" }).click()
  await studio.page.getByRole("button", { name: "End it" }).click()
  await studio.page.getByText("The broadcast has ended. Its recording is prepared below.").waitFor()
  await studio.page.getByText("Not live", { exact: true }).waitFor({ timeout: 2_000 })
  await page.getByText("Not live", { exact: true }).waitFor()
  for (const opened of [{ broken, context }, studio]) {
    assert.deepStrictEqual(opened.broken, [])
    await opened.context.close()
  }
})

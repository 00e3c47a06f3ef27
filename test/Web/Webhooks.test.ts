/** `src/Web/Page/Webhooks` in a real Chromium, with a real server and a receiver on loopback. */
import * as Fs from "node:fs"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import * as Path from "node:path"
import { afterAll, assert, beforeAll, it } from "@effect/vitest"
import type { Page } from "playwright-core"
import { Webhook } from "standardwebhooks"
import { pageSettings } from "../support/PageServer.ts"
import { inspect as inspectAll } from "./support/Inspect.ts"
import { api, keyOf } from "./support/RecordPanel.ts"
import { ownSuite } from "./support/Suite.ts"

const here = ownSuite({
  ...pageSettings,
  SPILLWAY_WEBHOOK_ALLOW_HTTP: "yes",
  SPILLWAY_WEBHOOK_ALLOW_ADDRESSES: "127.0.0.1/32"
})

interface Received {
  readonly headers: Record<string, string>
  readonly body: string
}

const received: Array<Received> = []
let status = 200
const markup = `<img src="x" onerror="document.title='broken'"> ${"a".repeat(70_000)}`
const receiver = Http.createServer((request, response) => {
  let body = ""
  request.setEncoding("utf8").on("data", (text: string) => (body += text))
  request.on("end", () => {
    const headers = Object.entries(request.headers).map(([name, value]) => [name, String(value)])
    received.push({ headers: Object.fromEntries(headers), body })
    response.writeHead(status, { "x-receiver": "yes" }).end(markup)
  })
})
let url = ""
beforeAll(
  () =>
    new Promise<void>((resolve) => {
      receiver.listen(0, "127.0.0.1", () => {
        const { port } = receiver.address() as AddressInfo
        url = `http://127.0.0.1:${port}/hook`
        resolve()
      })
    })
)
afterAll(() => {
  receiver.closeAllConnections()
  receiver.close()
})

/** On a small phone, too. */
const inspect = async (page: Page, state: string) => {
  await inspectAll(page, state)
  await page.setViewportSize({ width: 360, height: 740 })
  assert.isAtMost(await page.evaluate(() => document.documentElement.scrollWidth), 360, state)
}

const openView = async (key: string) => {
  const opened = await here.open({}, `#key=${key}`)
  await opened.page.getByText("Connected", { exact: true }).waitFor()
  await opened.page.getByRole("link", { name: "Webhooks" }).click()
  return opened
}

const create = async (page: Page, at: string) => {
  await page.getByRole("button", { name: "Create a webhook" }).click()
  await page.getByLabel("URL").fill(at)
  await page.getByRole("button", { name: "Create", exact: true }).click()
}

const idOf = async (key: string): Promise<string> =>
  JSON.parse(await (await api({ url: here.server.url, key }, "/v1/webhooks")).text()).webhooks[0].id

it("creates a webhook, shows its secret once, tests, replays, rotates and deletes it", async () => {
  status = 200
  const { key } = await keyOf(here.server, "ada")
  const { broken, context, page } = await openView(key)
  await page.getByRole("heading", { name: "Webhooks", exact: true }).waitFor()
  await page.getByText("There is none yet.").waitFor()
  await page.getByRole("button", { name: "Create a webhook" }).click()
  await page.getByRole("button", { name: "Cancel" }).click()
  await page.waitForFunction(() => document.activeElement?.id === "webhooks-title")
  await create(page, "http://10.0.0.1/hook")
  await page.getByRole("alert").filter({ hasText: "The rule `address`: 10.0.0.1 is not a public address" }).waitFor()
  assert.strictEqual(await page.getByLabel("URL").getAttribute("aria-invalid"), "true")
  await page.getByLabel("conversation.finished").check()
  assert.isFalse(await page.getByLabel("All, also types").isChecked())
  await page.getByLabel("webhook.test").check()
  await inspect(page, "webhook-form")
  await page.getByLabel("URL").fill(url)
  await page.getByRole("button", { name: "Create", exact: true }).click()
  await page.getByRole("heading", { name: `The secret of ${url}` }).waitFor()
  const first = (await page.locator(".new-secret .value").textContent()) ?? ""
  assert.match(first, /^whsec_/)
  assert.strictEqual(await page.evaluate(() => document.activeElement?.id), "secret-title")
  await page.getByText("conversation.finished, webhook.test").waitFor()

  await page.getByRole("button", { name: `Send test to ${url}` }).click()
  const row = page.locator(".delivery").first()
  await page.getByRole("button", { name: /webhook\.test Delivered 1 attempt · answered 200/ }).waitFor()
  await page.getByText("Healthy").waitFor()
  await page.getByText("100 %").waitFor()
  const [test] = received
  new Webhook(first).verify(test?.body ?? "", test?.headers ?? {})
  await row.focus()
  await page.keyboard.press("Enter")
  await page.getByRole("heading", { name: /^Attempt 1: 200 after / }).waitFor()
  await page.getByText("Request of attempt 1").click()
  assert.include(await page.getByRole("region", { name: "Request of attempt 1" }).innerText(), "webhook-signature: v1,")
  await page.getByText("Response of attempt 1", { exact: true }).click()
  const head = page.getByRole("region", { name: "Response of attempt 1", exact: true })
  assert.include(await head.innerText(), "x-receiver: yes")
  await inspect(page, "webhook-log")
  await page.getByText("Body of the response of attempt 1").click()
  const body = page.getByRole("region", { name: "Body of the response of attempt 1" })
  assert.strictEqual(await body.textContent(), markup.slice(0, 65_536))
  assert.strictEqual(await page.locator(".log img").count(), 0)
  await page.getByRole("button", { name: "Done" }).click()
  await page.locator(".new-secret").waitFor({ state: "detached" })
  assert.notInclude(await page.content(), first)

  status = 500
  await page.getByRole("button", { name: "Replay", exact: true }).click()
  await page.getByRole("heading", { name: /^Attempt 2: 500 after / }).waitFor()
  await page.getByText("Failing").waitFor()
  await page.getByText(/^The latest attempt failed, since /).waitFor()
  await page.getByRole("button", { name: /Pending 2 attempts · the endpoint answered 500 · next / }).waitFor()
  status = 200
  await page.getByRole("button", { name: "Replay", exact: true }).click()
  await page.getByRole("heading", { name: /^Attempt 3: 200 after / }).waitFor()
  await page.getByText("Healthy").waitFor()

  const rotate = page.getByRole("button", { name: `Rotate secret of ${url}` })
  await rotate.click()
  await page.getByRole("button", { name: "Cancel" }).waitFor()
  await page.keyboard.press("Escape")
  await rotate.waitFor()
  assert.strictEqual(await page.evaluate(() => document.activeElement?.ariaLabel), `Rotate secret of ${url}`)
  await page.keyboard.press("Enter")
  await page.getByRole("button", { name: "Replace it" }).click()
  await page.getByRole("heading", { name: `The new secret of ${url}` }).waitFor()
  const second = (await page.locator(".new-secret .value").textContent()) ?? ""
  assert.notStrictEqual(second, first)
  await page.getByRole("button", { name: `Send test to ${url}` }).click()
  await page.locator(".delivery").nth(1).waitFor()
  await page.getByRole("button", { name: /Delivered 1 attempt/ }).waitFor()
  const latest = received.at(-1)
  for (const secret of [first, second]) new Webhook(secret).verify(latest?.body ?? "", latest?.headers ?? {})

  await page.getByRole("button", { name: `Disable ${url}` }).click()
  await page.getByText("Off", { exact: true }).waitFor()
  assert.isTrue(await page.getByRole("button", { name: `Send test to ${url}` }).isDisabled())
  await page.getByRole("button", { name: `Enable ${url}` }).click()
  await page.getByText("Healthy").waitFor()
  await page.getByRole("button", { name: `Edit ${url}` }).click()
  const rate = page.getByLabel("Most requests a second")
  await rate.fill("5")
  // A click misses the button if a poll moves it meanwhile.
  await rate.press("Enter")
  await page.getByText("at most 5 requests a second").waitFor()
  await page.waitForFunction(() => document.activeElement?.ariaLabel?.startsWith("Edit "))

  await page.getByRole("button", { name: `Delete ${url}` }).click()
  await page.getByRole("button", { name: "Delete it" }).click()
  await page.getByText("There is none yet.").waitFor()
  assert.strictEqual(await page.evaluate(() => document.activeElement?.id), "webhooks-title")
  assert.notInclude(await page.content(), second)
  assert.deepStrictEqual(broken, [])
  await context.close()
})

it("pages and filters the log, and replays a range after it has counted it", async () => {
  const { key } = await keyOf(here.server, "eve")
  const place = { url: here.server.url, key }
  await api(place, "/v1/webhooks", { method: "POST", body: JSON.stringify({ url, types: ["webhook.test"] }) })
  const path = `/v1/webhooks/${await idOf(key)}`
  const { broken, context, page } = await openView(key)
  await page.getByRole("button", { name: `Deliveries of ${url}` }).click()
  await page.getByText("Nothing has been sent yet.").waitFor()
  const dead = page.getByRole("button", { name: /Dead 1 attempt · the endpoint answered 400/ })
  const delivered = page.getByRole("button", { name: /Delivered 1 attempt · answered 200/ })
  status = 400
  for (let sent = 0; sent < 3; sent++) await api(place, `${path}/test`, { method: "POST" })
  await dead.nth(2).waitFor()
  status = 200
  for (let sent = 0; sent < 24; sent++) await api(place, `${path}/test`, { method: "POST" })
  await delivered.nth(23).waitFor()
  assert.deepStrictEqual([await delivered.count(), await dead.count()], [24, 1])
  await page.getByRole("button", { name: "Older" }).click()
  await page.getByRole("button", { name: "Newest" }).waitFor()
  await dead.nth(1).waitFor()
  assert.deepStrictEqual([await delivered.count(), await dead.count()], [0, 2])
  await page.getByRole("button", { name: "Newest" }).click()
  await delivered.nth(23).waitFor()
  await page.getByLabel("State").selectOption("dead")
  await dead.nth(2).waitFor()
  assert.strictEqual(await delivered.count(), 0)
  await page.getByLabel("Type").selectOption("audio.lost")
  await page.getByText("There is no such delivery.").waitFor()
  await page.getByLabel("Type").selectOption("webhook.test")
  await dead.nth(2).waitFor()

  const before = received.length
  await page.getByText("Replay a range").click()
  await page.getByLabel("To", { exact: true }).fill("2020-01-01T00:00")
  await page.getByRole("button", { name: "Count" }).click()
  await page.getByRole("alert").filter({ hasText: "The end is before the beginning." }).waitFor()
  await page.getByLabel("To", { exact: true }).fill("2040-01-01T00:00")
  await page.getByRole("button", { name: "Count" }).click()
  await page.getByText("3 deliveries would be sent again, 100 a second.").waitFor()
  assert.strictEqual(received.length, before)
  await inspect(page, "webhook-replay")
  await page.getByRole("button", { name: "Send 3 again" }).click()
  await page.getByText("3 deliveries will be sent again.").waitFor()
  await page.getByText("There is no such delivery.").waitFor()
  await page.getByLabel("State").selectOption("")
  await page.getByRole("button", { name: "Older" }).click()
  const again = page.getByRole("button", { name: /Delivered 2 attempts · answered 200/ })
  await again.nth(1).waitFor()
  await page.getByRole("button", { name: "Count" }).click()
  await page.getByText("There is no such delivery in this time").waitFor()
  await page.getByRole("button", { name: "Newest" }).click()
  await delivered.first().waitFor()
  await again.first().waitFor()
  assert.strictEqual(received.length, before + 3)
  assert.deepStrictEqual(broken, [])
  await context.close()
})

it("shows a webhook that answered 410 as disabled with the reason, and enables it again", async () => {
  status = 410
  const { key } = await keyOf(here.server, "gone")
  const place = { url: here.server.url, key }
  await api(place, "/v1/webhooks", { method: "POST", body: JSON.stringify({ url }) })
  const { broken, context, page } = await openView(key)
  await page.getByRole("button", { name: `Send test to ${url}` }).click()
  await page.getByText(/^Disabled since .*: it answered 410/).waitFor()
  status = 200
  await page.getByRole("button", { name: `Enable ${url}` }).click()
  await page.getByText("The webhook is enabled.").waitFor()
  await page.getByText(/^Disabled since /).waitFor({ state: "detached" })
  assert.deepStrictEqual(broken, [])
  await context.close()
})

it("shows admins the webhooks for all users, too, and the code of the documentation", async () => {
  const { broken, context, page } = await here.open()
  await page.getByRole("link", { name: "Webhooks" }).click()
  await page.getByRole("button", { name: "Create a webhook" }).click()
  await page.getByLabel("URL").fill(url)
  await page.getByLabel("Events of all users").check()
  await page.getByRole("button", { name: "Create", exact: true }).click()
  await page.getByText("All users", { exact: true }).waitFor()
  const docs = Fs.readFileSync(Path.join(import.meta.dirname, "../../docs/webhooks.md"), "utf8")
  for (const language of ["Node", "Python", "Go"]) {
    await page.getByRole("button", { name: language, exact: true }).click()
    const code = (await page.getByRole("region", { name: `Code in ${language}` }).textContent()) ?? ""
    assert.include(docs, `\n${code}\n\`\`\``)
  }
  assert.deepStrictEqual(broken, [])
  await context.close()
})

it("shows no webhook that was deleted again because an earlier response came later", async () => {
  const { key } = await keyOf(here.server, "late")
  await api({ url: here.server.url, key }, "/v1/webhooks", { method: "POST", body: JSON.stringify({ url }) })
  const { broken, context, page } = await openView(key)
  await page.getByRole("heading", { name: url }).waitFor()
  const [held, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  await page.route(
    /\/v1\/webhooks$/,
    async (route) => {
      const response = await route.fetch()
      held.resolve()
      await released.promise
      await route.fulfill({ response })
    },
    { times: 1 }
  )
  await held.promise
  await page.getByRole("button", { name: `Delete ${url}` }).click()
  await page.getByRole("button", { name: "Delete it" }).click()
  await page.getByText("There is none yet.").waitFor()
  const health = page.waitForResponse(/\/health$/)
  released.resolve()
  assert.strictEqual((await health).status(), 404)
  await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))))
  assert.strictEqual(await page.getByRole("heading", { name: url }).count(), 0)
  assert.deepStrictEqual(broken, [])
  await context.close()
})

it("says that a user has too many webhooks, and keeps what was entered", async () => {
  const { key } = await keyOf(here.server, "many")
  const place = { url: here.server.url, key }
  const body = JSON.stringify({ url, enabled: false })
  for (let made = 0; made < 10; made++) await api(place, "/v1/webhooks", { method: "POST", body })
  const { broken, context, page } = await openView(key)
  await create(page, url)
  await page.getByRole("alert").filter({ hasText: "The limit of webhooks is reached" }).waitFor()
  assert.strictEqual(await page.getByLabel("URL").inputValue(), url)
  assert.strictEqual(await page.locator(".webhook").count(), 10)
  assert.deepStrictEqual(broken, [])
  await context.close()
})

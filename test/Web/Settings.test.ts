/** `src/Web/Page/Settings` in a real Chromium, with the keyboard, against a real server. */
import { assert, it } from "@effect/vitest"
import { inspect } from "./support/Inspect.ts"
import { api } from "./support/RecordPanel.ts"
import { sharedSuite } from "./support/Suite.ts"

const here = sharedSuite()

const settings = async () => JSON.parse(await (await api(here.server, "/v1/users/settings")).text())

it("changes the settings of the key's user with the keyboard, and says so", async () => {
  const { broken, context, page } = await here.open()
  await page.getByText("Connected", { exact: true }).waitFor()
  await page.getByRole("link", { name: "Settings" }).focus()
  await page.keyboard.press("Enter")
  const store = page.getByLabel("Store audio")
  await store.waitFor()
  assert.strictEqual(await page.evaluate(() => document.activeElement?.id), "settings-title")
  assert.strictEqual(await store.inputValue(), "")
  await inspect(page, "settings")
  await page.getByRole("heading", { name: "Settings" }).focus()
  await page.keyboard.press("Tab")
  await page.keyboard.type("N")
  await page.keyboard.press("Tab")
  await page.keyboard.type("S")
  await page.keyboard.press("Tab")
  await page.keyboard.type("30")
  await page.keyboard.press("Enter")
  await page.getByRole("status").filter({ hasText: "Saved." }).waitFor()
  assert.deepStrictEqual(await settings(), { store_audio: false, protection: "standard", retention_days: 30 })
  await page.reload()
  await store.waitFor()
  assert.strictEqual(await store.inputValue(), "false")
  assert.strictEqual(await page.getByLabel("Days to keep conversations").inputValue(), "30")
  await store.selectOption("")
  await page.getByLabel("Protection").selectOption("")
  await page.getByLabel("Days to keep conversations").fill("")
  await page.getByRole("button", { name: "Save" }).click()
  await page.getByRole("status").filter({ hasText: "Saved." }).waitFor()
  assert.deepStrictEqual(await settings(), { store_audio: null, protection: null, retention_days: null })
  assert.deepStrictEqual(broken, [])
  await context.close()
})

it("says why the server refuses a change, and keeps what was entered", async () => {
  const { context, page } = await here.open()
  await page.getByText("Connected", { exact: true }).waitFor()
  await page.getByRole("link", { name: "Settings" }).click()
  await page.getByLabel("Protection").selectOption("enhanced")
  await page.getByRole("button", { name: "Save" }).click()
  await page.getByRole("alert").filter({ hasText: "SPILLWAY_MASTER_SECRETS" }).waitFor()
  assert.strictEqual(await page.getByLabel("Protection").inputValue(), "enhanced")
  await context.close()
})

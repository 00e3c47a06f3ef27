/** The header of `src/Web/Page` in a real Chromium: the key, and what the server loses. */
import { assert, it } from "@effect/vitest"
import { sharedSuite } from "./support/Suite.ts"

const here = sharedSuite()

it("says that a key is unknown, and continues to the list with a valid one", async () => {
  const { broken, context, page } = await here.open({}, "")
  const field = page.getByLabel("Key", { exact: true })
  await field.fill("spw_wrong")
  await field.press("Enter")
  await page.getByRole("heading", { name: "This key is not known" }).waitFor()
  await field.fill(here.server.key)
  await field.press("Enter")
  await page.getByText("There are two ways to begin").waitFor()
  assert.strictEqual(await page.evaluate(() => document.activeElement?.textContent), "Conversations")
  await page.getByRole("button", { name: "Copy the command" }).waitFor()
  assert.deepStrictEqual(broken, [])
  await context.close()
})

it("warns in every view while audio is lost, and says what to do at the top of the live view", async () => {
  const { broken, context, page } = await here.open({}, "none")
  // A node that loses audio steadily, as with a full journal while the store is down.
  let lost = 0
  await page.route(/\/v1\/captures$/, async (route) => {
    const response = await route.fetch()
    const now = await response.json()
    for (const trouble of now.node.troubles) if (trouble.name === "seconds lost") trouble.count = lost
    await route.fulfill({ response, json: now })
    lost += 5
  })
  await page.goto(`${here.admin.url}/#key=${here.admin.key}`)
  await page.getByRole("link", { name: "Audio is being lost" }).waitFor()
  // As when another tab has the stream: this one polls.
  await page.evaluate(() => void navigator.locks.request("spillway-live", () => new Promise(() => {})))
  await page.getByRole("link", { name: "Audio is being lost" }).click()
  const first = page.getByRole("region", { name: "Problems" }).getByRole("listitem").first()
  await first.getByText(/SPILLWAY_JOURNAL_BYTES/).waitFor()
  assert.match((await first.textContent()) ?? "", /^\d+ seconds lost since the startnow/)
  assert.deepStrictEqual(broken, [])
  // The page polls: an answer may be on its way through the route.
  await page.unrouteAll({ behavior: "wait" })
  await context.close()
})

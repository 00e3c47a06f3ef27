/** `src/Web/Page/List/Removals.tsx` in a real Chromium, on a real server. */
import { assert, it } from "@effect/vitest"
import { streamAt } from "../support/Capturer.ts"
import { inspect } from "./support/Inspect.ts"
import { sharedSuite } from "./support/Suite.ts"

const here = sharedSuite()

const call = async (method: string, path: string) => {
  const { key, url } = here.server
  const response = await fetch(`${url}${path}`, { method, headers: { authorization: `Bearer ${key}` } })
  return { status: response.status, body: JSON.parse(await response.text()) }
}

it("deletes a conversation after a time in which that can be undone", async () => {
  await streamAt(here.server, "talk", [1_760_000_000])
  await streamAt(here.server, "other", [1_760_000_100])
  const { broken, context, page } = await here.open()
  const row = page.locator('[data-conversation="talk"]')
  const open = async () => {
    await row.getByRole("button", { name: "talk", exact: true }).click()
    await row.getByRole("button", { name: "Delete talk" }).waitFor()
  }
  await open()
  await inspect(page, "delete-button")
  await row.getByRole("button", { name: "Delete talk" }).click()
  await page.getByText(/^talk is deleted in \d+ s\.$/).waitFor()
  await row.waitFor({ state: "detached" })
  await inspect(page, "deleted")
  assert.strictEqual((await call("GET", "/v1/conversations/talk")).status, 200)
  assert.isTrue(
    await page.getByRole("button", { name: "Undo: keep talk" }).evaluate((it) => it === document.activeElement)
  )

  await page.getByRole("button", { name: "Undo: keep talk" }).click()
  await row.waitFor()
  assert.strictEqual(await page.getByText(/^talk is deleted/).count(), 0)

  await page.clock.install()
  await open()
  await row.getByRole("button", { name: "Delete talk" }).click()
  await page.getByText(/^talk is deleted in \d+ s\.$/).waitFor()
  // The server begins now, and the page's time to undo ends.
  const { body: job } = await call("DELETE", "/v1/conversations/talk")
  assert.strictEqual(job.status, "running")
  await page.clock.fastForward(31_000)
  await page.getByText("talk is being deleted.").waitFor()
  await page.getByText("talk is being deleted.").waitFor({ state: "detached" })
  assert.strictEqual(await row.count(), 0)
  assert.strictEqual((await call("GET", `/v1/deletions/${job.job_id}`)).body.status, "done")
  assert.strictEqual(await page.locator('[data-conversation="other"]').count(), 1)
  assert.deepStrictEqual(broken, [])
  await context.close()
})

it("undoes a deletion that was requested before the page was loaded, and shows one that begins elsewhere", async () => {
  await streamAt(here.server, "undone", [1_760_000_200])
  await streamAt(here.server, "begun", [1_760_000_300])
  const requests = await Promise.all(
    ["undone?delay=3600", "begun?delay=3600"].map((path) => call("DELETE", `/v1/conversations/${path}`))
  )
  const { broken, context, page } = await here.open()
  const row = page.locator('[data-conversation="undone"]')
  await page.getByText(/^undone is deleted in (1:00:00|59:\d\d)\.$/).waitFor()
  await page.getByText(/^begun is deleted in (1:00:00|59:\d\d)\.$/).waitFor()
  assert.strictEqual(await row.count(), 0)
  assert.isTrue(await page.evaluate(() => document.activeElement === document.body))
  await inspect(page, "deleted-before")

  // The server is busy for a moment when the page is loaded again.
  let requested = 0
  await page.route(/\/v1\/deletions\?/, async (route) => {
    requested += 1
    await (requested === 1 ? route.fulfill({ status: 503, body: "" }) : route.continue())
  })
  await page.reload()
  await page.getByText(/^undone is deleted in /).waitFor()
  assert.strictEqual(requested, 2)

  // Another client begins at once.
  await call("DELETE", "/v1/conversations/begun")
  await page.getByText("begun is being deleted.").waitFor()
  await page.getByText("begun is being deleted.").waitFor({ state: "detached" })

  await page.getByRole("button", { name: "Undo: keep undone" }).click()
  await row.waitFor()
  const [{ body: undone } = { body: undefined }] = requests
  assert.strictEqual((await call("GET", `/v1/deletions/${undone.job_id}`)).body.status, "cancelled")
  assert.deepStrictEqual((await call("GET", "/v1/deletions")).body.deletions, [])
  assert.deepStrictEqual(broken, [])
  await context.close()
})

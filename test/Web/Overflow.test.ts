/** `src/Web/Page/Record` while the server's journal is full and the object store is down: lost audio is not shown as stored. */
import { assert, it } from "@effect/vitest"
import { api, drop, job, name, seconds } from "./support/RecordPanel.ts"
import { noise, wav } from "./support/Sound.ts"
import { ownSuite } from "./support/Suite.ts"

const here = ownSuite({
  SPILLWAY_CHUNK_DURATION: "1 second",
  SEGMENT_BYTES: "256 KiB",
  SPILLWAY_JOURNAL_BYTES: "2 MiB",
  // Nothing listens there: the store is down from the start.
  SPILLWAY_BUCKET: "away",
  SPILLWAY_GCS_ENDPOINT: "http://127.0.0.1:9"
})

it("shows what the server dropped of a file, and counts none of it as stored", async () => {
  const { broken, context, page } = await here.open()
  await page.getByRole("button", { name: "Record", exact: true }).waitFor()
  await drop(page, { "long.wav": wav(noise(60, 48_000), 48_000) })
  await job(page).getByText("Lost in part").waitFor()
  assert.match(await job(page).locator("[role=status]").last().innerText(), /gave up .* of it/)
  const lost = await api(here.server, `/v1/conversations/${await name(page)}`)
  assert.isAbove(JSON.parse(await lost.text()).lost_seconds, 20)
  assert.strictEqual(await seconds(page, "inStore"), 0)
  assert.deepStrictEqual(broken, [])
  await context.close()
})

/** The page when the server's journal is full and the object store is away: what is lost is not called safe. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert, it } from "@effect/vitest"
import { dataDirectory, startServer } from "../support/Server.ts"
import { launch, open } from "./support/Chromium.ts"
import { drop, job, name, seconds } from "./support/RecordPanel.ts"
import { noise, wav } from "./support/Sound.ts"

it("says what the server gave up of a file, and counts none of it as stored", async () => {
  const dataDir = dataDirectory()
  const [browser, server] = await Promise.all([
    launch(),
    startServer(dataDir, {
      SPILLWAY_CHUNK_DURATION: "1 second",
      SPILLWAY_SEGMENT_BYTES: "256 KiB",
      SPILLWAY_JOURNAL_BYTES: "2 MiB",
      // Nothing listens there: the store is away from the start.
      SPILLWAY_BUCKET: "away",
      SPILLWAY_GCS_ENDPOINT: "http://127.0.0.1:9"
    })
  ])
  try {
    const { broken, page } = await open(browser, `${server.url}/#key=${server.key}`)
    await page.getByRole("button", { name: "Record", exact: true }).waitFor()
    await drop(page, { "long.wav": wav(noise(60, 48_000), 48_000) })
    await job(page).getByText("Lost in part").waitFor({ timeout: 40_000 })
    assert.match(await job(page).locator("[role=status]").last().innerText(), /gave up .* of it/)
    const lost = await fetch(`${server.url}/v1/conversations/${await name(page)}`, {
      headers: { authorization: `Bearer ${server.key}` }
    })
    assert.isAbove(JSON.parse(await lost.text()).lost_seconds, 20)
    assert.strictEqual(await seconds(page, "inStore"), 0)
    assert.deepStrictEqual(broken, [])
  } finally {
    await browser.close()
    await server.kill()
    Fs.rmSync(Path.dirname(dataDir), { recursive: true, force: true })
  }
})

/** `src/Web/Page/Record` in a real Chromium when the key, the device or its use is wrong. */
import { assert, it } from "@effect/vitest"
import { heard } from "./support/Heard.ts"
import { api, drop, job, keyOf, kept, name, reach, record, seconds, stop, stored } from "./support/RecordPanel.ts"
import { noise, wav } from "./support/Sound.ts"
import { sharedSuite } from "./support/Suite.ts"

const here = sharedSuite()

it("asks for another key when the recording's key is revoked, and loses nothing", async () => {
  const [first, second] = [await keyOf(here.admin, "ada"), await keyOf(here.admin, "ada")]
  const { broken, context, page, samples } = await heard(here, first.key)
  await record(page)
  await reach(page, "onDisk", 0.5)
  await api(here.admin, `/v1/keys/${first.id}`, { method: "DELETE" })
  await job(page).getByText("Waiting for a key").waitFor()
  const field = page.getByLabel("Key", { exact: true })
  await field.fill(second.key)
  await field.press("Enter")
  await reach(page, "onDisk", (await seconds(page, "sent")) + 0.5)
  await stop(page)
  await stored(page)
  assert.strictEqual((await kept(here.admin, await name(page), "ada")).length / 2, await samples())
  assert.deepStrictEqual(broken, [])
  await context.close()
})

it("starts one recording however often the button is pressed, and keeps showing why a recording ended", async () => {
  const { broken, context, page } = await heard(here)
  await page.getByRole("button", { name: "Record", exact: true }).dblclick()
  await reach(page, "onDisk", 0.3)
  assert.strictEqual(await page.locator(".job").count(), 1)
  await page.evaluate(() => window.dispatchEvent(new Event("unplug")))
  await stored(page)
  await job(page).getByText("The microphone was disconnected, and the recording has ended.").waitFor()
  await page.getByRole("button", { name: "Record", exact: true }).waitFor()
  assert.deepStrictEqual(broken, [])
  await context.close()
})

it("gives every file its own conversation, whatever its name", async () => {
  const { broken, context, page } = await here.open()
  const [first, second] = [noise(2, 8_000, 1), noise(2, 8_000, 2)]
  await drop(page, { "\u5f55\u97f3.wav": wav(first, 8_000), "\u4f1a\u8bae.wav": wav(second, 8_000) })
  await page.getByText("Stored", { exact: true }).nth(1).waitFor()
  const named = await page.locator(".job").evaluateAll((all) => all.map((each) => each.dataset["conversation"] ?? ""))
  const [newer = "", older = ""] = named
  assert.isTrue((await kept(here.server, older)).equals(first))
  assert.isTrue((await kept(here.server, newer)).equals(second))
  await drop(page, { "a.mp3": Buffer.from("ID3"), "b.ogg": Buffer.from("OggS") })
  await page
    .getByRole("alert")
    .filter({ hasText: /a\.mp3 is an MP3 file.*b\.ogg is an Ogg file/s })
    .waitFor()
  assert.deepStrictEqual(broken, [])
  await context.close()
})

it("stops sending a file at once on request", async () => {
  const { broken, context, page } = await here.open()
  const socket = page.waitForEvent("websocket")
  await drop(page, { "long.wav": wav(noise(900, 8_000), 8_000) })
  await reach(page, "onDisk", 1)
  const closed = (await socket).waitForEvent("close")
  await page.getByRole("button", { name: "Stop sending" }).click()
  await page.getByText("Stopped. Audio on the server's disk is kept.").waitFor()
  await closed
  await api(here.server, `/v1/conversations/${await name(page)}`)
  await page.getByRole("button", { name: /^Clear long-/ }).click()
  assert.strictEqual(await page.locator(".job").count(), 0)
  assert.deepStrictEqual(broken, [])
  await context.close()
})

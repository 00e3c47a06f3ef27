/** Merged copies on the page in a real Chromium: `src/Web/Page/List/MergedCopies.tsx`. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert, beforeAll, it } from "@effect/vitest"
import type { Page } from "playwright-core"
import { stream } from "../support/Capturer.ts"
import { api } from "./support/RecordPanel.ts"
import { noise } from "./support/Sound.ts"
import { ownSuite } from "./support/Suite.ts"

const rate = 8_000
const here = ownSuite()

const send = (start: number, conversation: string) =>
  stream(
    { conversation, pcm: noise(10, rate, 1), start, sampleRate: rate },
    { server: () => here.server, speed: 500, frameSeconds: 1 }
  )

beforeAll(async () => {
  await send(1_700_000_000, "talk")
  await send(1_700_000_200, "talk")
  await send(1_700_000_000, "damaged")
})

const open = async (page: Page, name: string) => {
  const card = page.locator(`li[data-conversation="${name}"]`)
  await card.locator(".disclose").click()
  return card.locator(".merged")
}

it("makes merged copies at the click, and tells when they are ready", async () => {
  const { broken, context, page } = await here.open()
  const merged = await open(page, "talk")
  await merged.getByText("Merged copies: none").waitFor()
  await merged.getByRole("button", { name: "Make merged copies" }).click()
  await merged.getByText("Merged copies: 2 of 2 ready in the object store").waitFor()
  assert.strictEqual(await merged.getByRole("button").count(), 0)
  const answer = await api(here.server, "/v1/sync/audio/talk/urls")
  const { audio_files: files } = await answer.json()
  assert.deepStrictEqual(
    files.map(({ artifact }: { readonly artifact: unknown }) => artifact),
    [{ state: "merged" }, { state: "merged" }]
  )
  await page.reload()
  await (await open(page, "talk")).getByText("2 of 2 ready in the object store").waitFor()
  assert.deepStrictEqual(broken, [])
  await context.close()
})

it("says in words why no merged copy could be made", async () => {
  const objects = Path.join(here.dataDir, "objects")
  const isOfConversation = (name: string) => name.includes("damaged") && name.includes("1700000000.000")
  const chunk = Fs.readdirSync(objects, { recursive: true, encoding: "utf8" }).find(isOfConversation)
  Fs.rmSync(Path.join(objects, chunk ?? "none"))
  const { broken, context, page } = await here.open()
  const merged = await open(page, "damaged")
  await merged.getByRole("button", { name: "Make a merged copy" }).click()
  await merged.getByText("Merged copy: failed: audio is missing in the object store").waitFor()
  assert.isTrue(await merged.getByRole("button", { name: "Make a merged copy" }).isEnabled())
  assert.deepStrictEqual(broken, [])
  await context.close()
})

/** Downloads and signed URLs in a real Chromium: `src/Web/Page/List/Downloads.tsx`, and media elements of another site. */
import * as Fs from "node:fs"
import * as Http from "node:http"
import * as Path from "node:path"
import { afterAll, assert, beforeAll, it } from "@effect/vitest"
import type { Page } from "playwright-core"
import { stream } from "../support/Capturer.ts"
import { testFolder } from "../support/TestFolder.ts"
import { api } from "./support/RecordPanel.ts"
import { noise } from "./support/Sound.ts"
import { ownSuite } from "./support/Suite.ts"

const rate = 8_000
const [first, second] = [noise(30, rate, 1), noise(20, rate, 2)]
const here = ownSuite()
const otherSite = Http.createServer((_request, response) => {
  response.setHeader("content-type", "text/html")
  response.end("<!doctype html><title>Another site</title><audio></audio>")
})

const send = (start: number, pcm: Buffer, conversation = "talk") =>
  stream({ conversation, pcm, start, sampleRate: rate }, { server: () => here.server, speed: 500, frameSeconds: 1 })

beforeAll(async () => {
  await send(1_700_000_000, first)
  await send(1_700_000_200, second)
  await new Promise<void>((resolve) => otherSite.listen(0, "127.0.0.1", resolve))
})

afterAll(() => {
  otherSite.close()
})

const card = (page: Page, name: string) => page.locator(`li[data-conversation="${name}"]`)

const download = async (page: Page, name: RegExp | string) => {
  const [found] = await Promise.all([
    page.waitForEvent("download"),
    card(page, "talk").getByRole("button", { name }).first().click()
  ])
  const saved = Path.join(testFolder(), "saved")
  await found.saveAs(saved)
  return { name: found.suggestedFilename(), url: found.url(), bytes: Fs.readFileSync(saved) }
}

const signedUrls = async (format: string) => {
  const answer = await api(here.server, `/v1/sync/audio/talk/urls?format=${format}`)
  const { audio_files: files, conversation_audio: whole } = await answer.json()
  return { file: String(files[0].signed_url), whole: String(whole.signed_url) }
}

it("downloads an audio file and the whole conversation under their names, and no URL holds the key", async () => {
  const { broken, context, page } = await here.open()
  const urls: Array<string> = []
  page.on("request", (request) => urls.push(request.url()))
  await card(page, "talk").locator(".disclose").click()
  const file = await download(page, /^Download WAV \(.*: talk, /)
  assert.strictEqual(file.name, "talk-20231114T221320Z.wav")
  assert.isTrue(file.bytes.subarray(44).equals(first))
  const whole = await download(page, "Download WAV: All of talk")
  assert.strictEqual(whole.name, "talk.wav")
  assert.isTrue(whole.bytes.subarray(44).equals(Buffer.concat([first, second])))
  const ogg = await download(page, /^Ogg: talk, /)
  assert.strictEqual(ogg.name, "talk-20231114T221320Z.ogg")
  assert.strictEqual(ogg.bytes.toString("latin1", 0, 4), "OggS")
  const hrefs = await page.evaluate(() => [...document.querySelectorAll("a")].map(({ href }) => href))
  const state = await page.evaluate(() => JSON.stringify([history.state, history.length, location.href]))
  for (const text of [...urls, ...hrefs, file.url, whole.url, ogg.url, state]) {
    assert.notInclude(text, here.server.key)
    assert.notInclude(text, "access_token")
  }
  assert.isTrue([file.url, whole.url].every((url) => url.startsWith(`${here.server.url}/v1/audio/`)))
  assert.deepStrictEqual(broken, [])
  await context.close()
})

it("copies a URL that plays without a key", async () => {
  const { broken, context, page } = await here.open({
    permissions: ["clipboard-read", "clipboard-write", "microphone"]
  })
  await card(page, "talk").locator(".disclose").click()
  await card(page, "talk").getByRole("button", { name: "Copy URL" }).first().click()
  await card(page, "talk").getByText("It plays without a key, for an hour.").waitFor()
  const copied = await page.evaluate(() => navigator.clipboard.readText())
  assert.isTrue(
    Buffer.from(await (await fetch(copied)).arrayBuffer())
      .subarray(44)
      .equals(first)
  )
  assert.deepStrictEqual(broken, [])
  await context.close()
})

it("plays and seeks by signed URLs in a media element of another site", async () => {
  const { context, page } = await here.open({}, "none")
  const address = otherSite.address()
  await page.goto(`http://127.0.0.1:${typeof address === "object" ? address?.port : ""}/`)
  const plays = async (url: string, seconds: number) => {
    const heard = await page.evaluate(
      async ({ seconds, url }) => {
        const audio = document.querySelector("audio") ?? new Audio()
        const event = (name: string) =>
          new Promise((resolve, reject) => {
            audio.addEventListener(name, resolve, { once: true })
            audio.addEventListener("error", () => reject(new Error(audio.error?.message)), { once: true })
          })
        audio.muted = true
        audio.src = url
        await event("loadedmetadata")
        const { duration } = audio
        const positions: Array<number> = []
        for (const share of [0.8, 0.1, 0.5]) {
          audio.currentTime = share * seconds
          await event("seeked")
          positions.push(audio.currentTime / seconds)
        }
        await audio.play()
        while (audio.currentTime < 0.5 * seconds + 0.3) await event("timeupdate")
        audio.pause()
        return { duration, positions, error: audio.error?.message }
      },
      { seconds, url }
    )
    assert.approximately(heard.duration, seconds, 0.1, url)
    for (const [index, share] of [0.8, 0.1, 0.5].entries())
      assert.approximately(heard.positions[index] ?? 0, share, 0.01)
    assert.isUndefined(heard.error)
  }
  for (const format of ["wav", "ogg"]) {
    const { file, whole } = await signedUrls(format)
    await plays(file, 30)
    await plays(whole, 50)
  }
  await context.close()
})

it("says why a download fails: audio is missing in the store, or the server does not answer", async () => {
  await send(1_700_000_000, first, "damaged")
  const { broken, context, page } = await here.open()
  await card(page, "damaged").locator(".disclose").click()
  const start = card(page, "damaged").getByRole("button", { name: /^Download WAV/ })
  const problem = card(page, "damaged").getByRole("alert")
  const objects = Path.join(here.dataDir, "objects")
  const isOfConversation = (name: string) => name.includes("damaged") && name.includes("1700000000.000")
  const chunk = Fs.readdirSync(objects, { recursive: true, encoding: "utf8" }).find(isOfConversation)
  Fs.rmSync(Path.join(objects, chunk ?? "none"))
  await start.click()
  await problem.filter({ hasText: "Recorded audio is missing" }).waitFor()
  await here.server.stop()
  await start.click()
  await problem.filter({ hasText: "The server does not answer" }).waitFor()
  await here.server.startAgain()
  assert.deepStrictEqual(broken, [])
  await context.close()
})

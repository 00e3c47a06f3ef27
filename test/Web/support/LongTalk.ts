/** A conversation of two hours, and seeking in it. */
import type { Page } from "playwright-core"
import { stream } from "../../support/Capturer.ts"
import { forget, noted } from "./Chromium.ts"
import type { Place } from "./Suite.ts"

export const rate = 8_000
export const hours = 2

/** Settings of a server that accepts it quickly. */
export const longTalkSettings = {
  CAPTURE_BUFFER: "2 MiB",
  SPILLWAY_CAPTURES_PER_USER: "100",
  FRAMES_PER_SECOND: "100000"
}

/** Every second begins with its number. */
export const longTalk = (): Buffer => {
  const pcm = Buffer.alloc(hours * 3600 * rate * 2)
  for (let index = 0; index < pcm.length / 2; index++) {
    const second = Math.floor(index / rate)
    pcm.writeInt16LE(index % rate === 0 ? second : ((index * 7) % 2000) - 1000, index * 2)
  }
  return pcm
}

export const send = (server: Place, conversation: string, pcm: Buffer, start: number) =>
  stream({ conversation, pcm, start, sampleRate: rate }, { server: () => server, speed: 5_000, frameSeconds: 30 })

export const card = (page: Page, name: string) => page.locator(`li[data-conversation="${name}"]`)

/** Plays `name` and seeks to each of `shares`; returns the milliseconds from each click to its audio. */
export const seekTo = async (page: Page, name: string, pcm: Buffer, shares: ReadonlyArray<number>) => {
  await card(page, name).locator(".disclose").click()
  await card(page, name).getByText("2:00:00").nth(1).waitFor()
  await page.getByRole("button", { name: `Play ${name}` }).click()
  await page.getByRole("button", { name: `Pause ${name}` }).waitFor()
  const latencies: Array<number> = []
  for (const share of shares) {
    await page.waitForFunction(() => window.noted.played.length > 0)
    await forget(page)
    await page.evaluate(() => {
      delete document.body.dataset["sought"]
      document.addEventListener("input", () => (document.body.dataset["sought"] = String(performance.now())), {
        capture: true,
        once: true
      })
    })
    const box = await card(page, name).locator("canvas").boundingBox()
    await page.mouse.click((box?.x ?? 0) + (box?.width ?? 0) * share, (box?.y ?? 0) + 20)
    await page.waitForFunction(() => document.body.dataset["sought"] !== undefined)
    const sought = Number(await page.evaluate(() => document.body.dataset["sought"]))
    const expected = hours * 3600 * share
    // A point of the waveform is 12 seconds wide. Audio of the previous position can arrive first.
    const near = pcm.subarray((expected - 15) * rate * 2, (expected + 20) * rate * 2)
    let seen = 0
    for (let heardAt: number | undefined; heardAt === undefined;) {
      await page.waitForFunction((seen) => window.noted.played.length > seen, seen)
      const { played } = await noted(page)
      heardAt = played
        .slice(seen)
        .find(({ samples }) => near.includes(Buffer.from(Int16Array.from(samples).buffer)))?.heardAt
      seen = played.length
      if (heardAt !== undefined) latencies.push(heardAt - sought)
    }
  }
  return latencies
}

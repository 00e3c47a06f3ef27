/** `src/Web/Page/Play` in a real Chromium: speed, one audio file after another, and media keys. */
import { assert, beforeAll, it } from "@effect/vitest"
import type { Page } from "playwright-core"
import { stream, streamAt } from "../support/Capturer.ts"
import { forget, noted } from "./support/Chromium.ts"
import { api } from "./support/RecordPanel.ts"
import { sharedSuite } from "./support/Suite.ts"

const rate = 8_000
const pitch = 220
const start = 1_700_000_000
const here = sharedSuite()

const tone = (seconds: number): Buffer => {
  const pcm = Buffer.alloc(seconds * rate * 2)
  for (let index = 0; index < seconds * rate; index++) {
    pcm.writeInt16LE(Math.round(9_000 * Math.sin((2 * Math.PI * pitch * index) / rate)), index * 2)
  }
  return pcm
}

beforeAll(async () => {
  await stream(
    { conversation: "tone", pcm: tone(240), start, sampleRate: rate },
    { server: () => here.server, speed: 2_000, frameSeconds: 2 }
  )
  await streamAt(here.server, "parts", [start, start + 100, start + 200])
})

const card = (page: Page, name: string) => page.locator(`li[data-conversation="${name}"]`)
const playing = (page: Page) => page.getByRole("region", { name: "Now playing" })
const speedOf = (page: Page) => page.getByLabel("Playback speed").inputValue()

/** Upward zero crossings a second. */
const pitchOf = (samples: ReadonlyArray<number>): number => {
  const crossings = samples.flatMap((sample, index) => (sample >= 0 && (samples[index - 1] ?? 0) < 0 ? [index] : []))
  return ((crossings.length - 1) * rate) / ((crossings.at(-1) ?? 0) - (crossings[0] ?? 0))
}

/** A busy machine lets the audio clock stand still at times. */
const between = (value: number, least: number, most: number) => {
  assert.isAbove(value, least)
  assert.isBelow(value, most)
}

/** By how many seconds the position advances in one, over three seconds. */
const advance = (page: Page) =>
  page.evaluate(
    () =>
      new Promise<number>((resolve) => {
        const slider = document.querySelector<HTMLInputElement>(".file input[type=range]")
        const now = () => ({ at: performance.now() / 1000, position: slider?.valueAsNumber ?? 0 })
        const from = now()
        const look = () => {
          const to = now()
          if (to.at - from.at < 3) return requestAnimationFrame(look)
          return resolve((to.position - from.position) / (to.at - from.at))
        }
        look()
      })
  )

it("plays at the speed that a key or the list chooses, with the pitch kept, and remembers it in the tab", async () => {
  const { broken, context, page } = await here.open()
  await card(page, "tone").locator(".disclose").click()
  await page.getByRole("button", { name: "Play tone" }).click()
  await page.waitForFunction(() => window.noted.played.length > 1)
  await page.keyboard.press(">")
  await page.keyboard.press(">")
  assert.strictEqual(await speedOf(page), "1.5")
  await forget(page)
  await page.waitForFunction(() => window.noted.played.length > 4)
  between(await advance(page), 1.05, 1.6)
  assert.approximately(pitchOf((await noted(page)).played.flatMap(({ samples }) => samples)), pitch, 3)
  const before = Number(await page.getByRole("slider").inputValue())
  await page.getByLabel("Playback speed").selectOption("0.5")
  await forget(page)
  await page.waitForFunction(() => window.noted.played.length > 4)
  between(await advance(page), 0.2, 0.6)
  assert.approximately(pitchOf((await noted(page)).played.flatMap(({ samples }) => samples)), pitch, 3)
  assert.isAbove(Number(await page.getByRole("slider").inputValue()), before)
  await page.reload()
  await page.getByRole("button", { name: "Play tone" }).click()
  assert.strictEqual(await speedOf(page), "0.5")
  for (const key of ["<", "<"]) await page.keyboard.press(key)
  assert.strictEqual(await speedOf(page), "0.5")
  assert.deepStrictEqual(broken, [])
  await context.close()
})

it("plays the audio files of a conversation one after another, and the next one can be cancelled", async () => {
  const { audio_files: files } = await (await api(here.server, "/v1/conversations/parts")).json()
  const numberOf = (url: string) => files.findIndex(({ id }: { readonly id: string }) => url.includes(id)) + 1
  const { broken, context, page } = await here.open()
  const begun: Array<number> = []
  page.on("request", (request) => {
    // The range of a beginning.
    if (request.headers()["range"]?.startsWith("bytes=0-") === true && request.url().includes("/v1/")) {
      begun.push(numberOf(request.url()))
    }
  })
  await page.getByRole("button", { name: "Play parts" }).click()
  const next = playing(page).getByRole("status")
  const waitForNext = async (minute: string) => {
    await next.waitFor()
    assert.match((await next.textContent()) ?? "", new RegExp(`^Next: .*${minute}$`))
  }
  const minuteOf = (index: number) => new Date((start + index * 100) * 1000).toISOString().slice(14, 16)
  await waitForNext(minuteOf(1))
  await next.waitFor({ state: "detached" })
  await waitForNext(minuteOf(2))
  assert.deepStrictEqual(begun, [1, 2])
  await playing(page).getByRole("button", { name: "Cancel" }).click()
  await next.waitFor({ state: "detached" })
  await playing(page).getByRole("button", { name: "Resume" }).click()
  await waitForNext(minuteOf(2))
  await playing(page).getByRole("button", { name: "Play now" }).click()
  await next.waitFor({ state: "detached" })
  await playing(page).getByRole("button", { name: "Resume" }).waitFor()
  assert.deepStrictEqual(begun, [1, 2, 2, 3])
  assert.strictEqual(await next.count(), 0)
  assert.deepStrictEqual(broken, [])
  await context.close()
})

interface Reported {
  readonly duration: number
  readonly position: number
  readonly playbackRate: number
}

declare global {
  interface Window {
    media: {
      readonly handlers: Map<string, MediaSessionActionHandler | null>
      readonly elements: Set<HTMLMediaElement>
      reported: Reported | undefined
    }
  }
}

it("answers media keys, and tells the browser what plays and where", async () => {
  const { broken, context, page } = await here.open({}, "none")
  await context.addInitScript(() => {
    const media: Window["media"] = { handlers: new Map(), elements: new Set(), reported: undefined }
    window.media = media
    const set = MediaSession.prototype.setActionHandler
    MediaSession.prototype.setActionHandler = function (action, handler) {
      media.handlers.set(action, handler)
      set.call(this, action, handler)
    }
    const report = MediaSession.prototype.setPositionState
    MediaSession.prototype.setPositionState = function (state) {
      const { duration = 0, playbackRate = 0, position = 0 } = state ?? {}
      media.reported = { duration, playbackRate, position }
      report.call(this, state)
    }
    const play = HTMLMediaElement.prototype.play
    HTMLMediaElement.prototype.play = function () {
      media.elements.add(this)
      return play.call(this)
    }
  })
  await page.goto(`${here.server.url}/#key=${here.server.key}`)
  const press = (action: MediaSessionAction, details: Omit<MediaSessionActionDetails, "action"> = {}) =>
    page.evaluate(([action, details]) => window.media.handlers.get(action)?.({ action, ...details }), [
      action,
      details
    ] as const)
  const session = () =>
    page.evaluate(() => ({
      title: navigator.mediaSession.metadata?.title,
      state: navigator.mediaSession.playbackState,
      tracks: ["previoustrack", "nexttrack"].map((each) => typeof window.media.handlers.get(each)),
      isElementPlaying: [...window.media.elements].map(({ duration, paused }) => !paused && duration > 5)
    }))
  const reports = (from: number, to: number, playbackRate: number) =>
    page.waitForFunction(
      ([from, to, rate]) => {
        const { reported } = window.media
        return reported?.playbackRate === rate && reported.position >= from && reported.position <= to
      },
      [from, to, playbackRate] as const
    )
  await page.getByRole("button", { name: "Play tone" }).click()
  await page.getByRole("button", { name: "Pause tone" }).waitFor()
  await page.waitForFunction(() => window.noted.played.length > 1)
  const [noTrack, aTrack] = ["object", "function"] as const
  assert.deepStrictEqual(await session(), {
    title: "tone",
    state: "playing",
    tracks: [noTrack, noTrack],
    isElementPlaying: [true]
  })
  await press("seekto", { seekTime: 100 })
  await reports(100, 110, 1)
  assert.strictEqual(await page.evaluate(() => window.media.reported?.duration), 240)
  await press("seekforward", { seekOffset: 60 })
  await reports(160, 175, 1)
  await press("seekbackward")
  await reports(150, 165, 1)
  await page.keyboard.press(">")
  await reports(150, 175, 1.25)
  await press("pause")
  await playing(page).getByRole("button", { name: "Resume" }).waitFor()
  const paused = await session()
  assert.deepStrictEqual([paused.state, paused.isElementPlaying], ["paused", [false]])
  await press("play")
  await playing(page).getByRole("button", { name: "Pause" }).waitFor()
  // As the browser does when another program takes the sound.
  await page.evaluate(() => window.media.elements.forEach((each) => each.pause()))
  await playing(page).getByRole("button", { name: "Resume" }).waitFor()
  assert.notMatch((await playing(page).locator(".number").textContent()) ?? "", /^4:00/)
  await page.getByRole("button", { name: "Play parts" }).click()
  await page.waitForFunction(() => navigator.mediaSession.metadata?.title === "parts")
  assert.deepStrictEqual((await session()).tracks, [noTrack, aTrack])
  await press("nexttrack")
  await page.waitForFunction(() => window.media.handlers.get("previoustrack") !== null)
  assert.deepStrictEqual((await session()).tracks, [aTrack, aTrack])
  await press("stop")
  await playing(page).waitFor({ state: "detached" })
  assert.deepStrictEqual([(await session()).state, (await session()).tracks], ["none", [noTrack, noTrack]])
  assert.deepStrictEqual(broken, [])
  await context.close()
})

/** `src/Web/Page/Play/Transcript.tsx` in a real Chromium: what was said, under the audio. */
import { assert, it } from "@effect/vitest"
import { audioFrame, switchTo } from "../support/Capturer.ts"
import { openCaptureSocket } from "../support/CaptureSocket.ts"
import { inspect } from "./support/Inspect.ts"
import { noise } from "./support/Sound.ts"
import { sharedSuite } from "./support/Suite.ts"

const rate = 8_000
const start = 1_700_000_000
const here = sharedSuite()

const transcript = (segments: ReadonlyArray<object>) => {
  const head = Buffer.alloc(4)
  head.writeUInt32LE(102)
  return Buffer.concat([head, Buffer.from(JSON.stringify({ segments }))])
}

const segment = (n: number, text: string) => ({
  id: `s-${n}`,
  start: n,
  end: n + 1,
  text,
  speaker: `SPEAKER_0${n % 2}`
})

/** A socket that has sent a minute of audio and a segment for each second. */
const record = async (conversation: string, seconds: number) => {
  const { acknowledged, closed, socket } = await openCaptureSocket(here.server, {
    query: `?ack=1&audio_timeline=2&sample_rate=${rate}`
  })
  socket.send(switchTo(conversation))
  socket.send(audioFrame(start, noise(seconds, rate)))
  socket.send(transcript(Array.from({ length: seconds }, (_, n) => segment(n, `sentence ${n}`))))
  await acknowledged(seconds * rate * 2)
  return {
    say: (...segments: ReadonlyArray<object>) => socket.send(transcript(segments)),
    end: async () => {
      socket.close()
      await closed
    }
  }
}

it("highlights the segment that plays, moves the position to a segment on click or Enter, and shows more pages", async () => {
  const { end } = await record("meeting", 240)
  await end()
  const { broken, context, page } = await here.open()
  await page.locator('li[data-conversation="meeting"] .disclose').click()
  const region = page.getByRole("region", { name: "Transcript of meeting" })
  await region.getByRole("button", { name: "0:30 SPEAKER_00 sentence 30", exact: true }).click()
  const slider = page.getByRole("slider", { name: "Position in meeting" })
  const position = async () => Number(await slider.inputValue())
  assert.approximately(await position(), 30, 0.01)
  await page.getByRole("button", { name: "Play meeting" }).click()
  await region.locator("[aria-current=true]", { hasText: "sentence 31" }).waitFor()
  // Playback continues from a segment that is chosen with the keyboard.
  await region.getByRole("button", { name: "sentence 90" }).press("Enter")
  await region.locator("[aria-current=true]", { hasText: "sentence 91" }).waitFor()
  assert.strictEqual(await region.getByRole("listitem").count(), 100)
  await region.getByRole("button", { name: "Show more of the transcript" }).click()
  await region.getByText("sentence 199").waitFor()
  // Beyond what is shown, the transcript follows the position.
  const canvas = page.locator('li[data-conversation="meeting"] canvas')
  await canvas.scrollIntoViewIfNeeded()
  const box = await canvas.boundingBox()
  await page.mouse.click((box?.x ?? 0) + ((box?.width ?? 0) * 220) / 240, (box?.y ?? 0) + 20)
  await region.locator("[aria-current=true]", { hasText: /sentence 22\d/ }).waitFor()
  await page.getByRole("button", { name: "Pause meeting" }).click()
  await region.getByRole("button", { name: "From the start" }).click()
  await region.getByText("sentence 0", { exact: true }).waitFor()
  await inspect(page, "transcript")
  assert.deepStrictEqual(broken, [])
  await context.close()
})

it("shows segments as they are said, and their changes, and text as text", async () => {
  const { end, say } = await record("speech", 5)
  const { broken, context, page } = await here.open()
  const region = page.getByRole("region", { name: "Transcript of speech" })
  await region.getByText("sentence 4").waitFor()
  say({ ...segment(5, "<b>hello"), is_user: true })
  await region.getByRole("button", { name: "0:05 You <b>hello" }).waitFor()
  say({ ...segment(5, "hello there"), speaker: 7 }, { id: "odd", start: 6, text: 5, end: "x" })
  await region.getByRole("button", { name: "0:05 hello there" }).waitFor()
  await region.getByRole("button", { name: "0:06" }).waitFor()
  assert.strictEqual(await region.getByRole("listitem").count(), 7)
  await end()
  assert.deepStrictEqual(broken, [])
  await context.close()
})

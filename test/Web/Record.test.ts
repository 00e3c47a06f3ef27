/** `src/Web/Page/Record` in a real Chromium against a real server: the recorded audio is the microphone's. */
import { assert, it, onTestFinished } from "@effect/vitest"
import { launch, microphone, microphoneHears } from "../support/Browser.ts"
import { chunk, fmt, foundWith, refusedWith, riff } from "../support/WavFiles.ts"
import { noted, open, patience, spoken } from "./support/Chromium.ts"
import { api, drop, job, kept, name, reach, record, seconds, stop, stored } from "./support/RecordPanel.ts"
import { match, noise, samplesOf, wav } from "./support/Sound.ts"
import { sharedSuite } from "./support/Suite.ts"

const here = sharedSuite()
const { rate } = microphone

it("keeps and plays the microphone's audio to the sample, also while it records", async () => {
  const { broken, context, page } = await here.open()
  await record(page)
  await reach(page, "onDisk", 2)
  await page.getByRole("button", { name: "Listen live" }).click()
  await page.getByRole("button", { name: /^Live · \d+\.\d s behind$/, pressed: true }).waitFor()
  await reach(page, "onDisk", 4.5)
  assert.isAtMost(await seconds(page, "inStore"), await seconds(page, "onDisk"))
  assert.isAtMost(await seconds(page, "onDisk"), await seconds(page, "sent"))
  await stop(page)
  await stored(page)
  const conversation = await name(page)
  const { played, sent } = await noted(page)
  const whole = spoken(sent, rate)
  const audio = await kept(here.server, conversation)
  assert.isTrue(audio.equals(whole), `${audio.length} bytes are kept of ${whole.length}`)
  assert.strictEqual(Math.round((await seconds(page, "sent")) * rate), audio.length / 2)

  const recorded = samplesOf(audio)
  const part = recorded.subarray(rate, 2 * rate)
  const twice = samplesOf(Buffer.concat([microphoneHears(), microphoneHears()]))
  const { correlation, level } = match(part, twice, 2_000)
  assert.isAbove(correlation, 0.98)
  assert.approximately(level, 1, 0.1)

  const heard = Int16Array.from(played.flatMap(({ samples }) => samples))
  assert.isAbove(heard.length, rate)
  const head = heard.subarray(0, 1_000)
  const from = recorded.findIndex((_, index) => head.every((sample, ahead) => recorded[index + ahead] === sample))
  assert.isAtLeast(from, 0)
  const there = recorded.slice(from, from + heard.length)
  assert.isTrue(Buffer.from(heard.buffer).equals(Buffer.from(there.buffer)))
  assert.deepStrictEqual(broken, [])
  await context.close()
})

it("says that the user's settings keep audio from being stored, until they no longer do", async () => {
  const { broken, context, page } = await here.open()
  const store = (value: boolean) => api(here.server, `/v1/users/private-cloud-sync?value=${value}`, { method: "POST" })
  await store(false)
  onTestFinished(async () => void (await store(true)))
  await record(page)
  const notice = job(page).getByText("The server says: the user's settings say that audio is not stored.")
  await notice.waitFor({ timeout: patience })
  // The node reads the settings of a user that it knows once a second.
  const stored = await seconds(page, "onDisk")
  assert.isBelow(stored, 2)
  await store(true)
  await reach(page, "onDisk", stored + 0.5)
  await notice.waitFor({ state: "detached", timeout: patience })
  await stop(page)
  await job(page).getByText("The server has not stored all of it").waitFor({ timeout: patience })
  assert.deepStrictEqual(broken, [])
  await context.close()
})

it("sends a WAV file that is dropped on it, and says what other files are and how to convert them", async () => {
  const { broken, context, page } = await here.open()
  const pcm = noise(90, 16_000, 3)
  await drop(page, { "My talk (1).wav": wav(pcm, 16_000) })
  await stored(page)
  const conversation = await name(page)
  assert.match(conversation, /^My-talk-1-/)
  assert.isTrue((await kept(here.server, conversation)).equals(pcm))

  const stereo = Buffer.alloc(4 * 16_000)
  for (let index = 0; index < 16_000; index++) {
    stereo.writeInt16LE(index % 1000, index * 4)
    stereo.writeInt16LE((index % 1000) + 200, index * 4 + 2)
  }
  await drop(page, { "stereo.wav": wav(stereo, 16_000, { channels: 2 }) })
  await page.locator(".job", { hasText: "stereo.wav" }).getByText("Stored", { exact: true }).waitFor()
  assert.deepStrictEqual([...samplesOf(await kept(here.server, await name(page))).subarray(0, 3)], [100, 101, 102])

  await drop(page, { "cut.wav": wav(pcm, 16_000).subarray(0, 44 + 32_001) })
  await page.getByText("The file is truncated: its last 1 min 29 s are missing.").waitFor()
  await stored(page)
  assert.isTrue((await kept(here.server, await name(page))).equals(pcm.subarray(0, 32_000)))

  const alert = page.locator(".record > [role=alert]")
  const refused = async (file: string, bytes: Buffer) => {
    await drop(page, { [file]: bytes })
    await alert.filter({ hasText: file }).waitFor()
    return (await alert.textContent()) ?? ""
  }
  assert.match(await refused("song.mp3", Buffer.from("ID3\u0004 and more")), /is an MP3 file.*ffmpeg -i "song\.mp3"/)
  assert.match(await refused("float.wav", wav(pcm, 16_000, { coding: 3 })), /floating-point.*pcm_s16le/)
  assert.match(await refused("fast.wav", wav(pcm, 96_000)), /96000 Hz.*-ar 16000/)
  for (const [index, [, bytes, said]] of refusedWith(pcm.subarray(0, 1_000)).entries()) {
    assert.match(await refused(`refused-${index}.wav`, bytes), said)
  }
  assert.deepStrictEqual(broken, [])
  await context.close()
})

it("sends all of the audio of irregular WAV files, and nothing else", async () => {
  const { broken, context, page } = await here.open()
  const found = Object.values(foundWith(noise(2, 16_000, 3))).map((each, index) => ({ ...each, file: `f${index}.wav` }))
  await drop(page, Object.fromEntries(found.map(({ bytes, file }) => [file, bytes])))
  for (const { audio, file, isUnfinished, missing } of found) {
    const card = page.locator(".job", { hasText: file })
    await card.getByText("Stored", { exact: true }).waitFor({ timeout: patience })
    const words = (await card.textContent()) ?? ""
    assert.strictEqual(words.includes("header was never finished"), isUnfinished === true, file)
    assert.strictEqual(words.includes("The file is truncated"), missing !== undefined, file)
    const sent = await kept(here.server, (await card.getAttribute("data-conversation")) ?? "")
    assert.isTrue(sent.equals(audio), file)
  }
  assert.deepStrictEqual(broken, [])
  await context.close()
})

it("says that the channels of a WAV file are mixed to one", async () => {
  const { broken, context, page } = await here.open()
  await drop(page, { "two.wav": riff([fmt({ channels: 2 }), chunk("data", noise(2, 16_000, 4))]) })
  const card = page.locator(".job", { hasText: "two.wav" })
  await card.getByText("Its 2 channels are mixed to one.", { exact: true }).waitFor()
  await card.getByText("Stored", { exact: true }).waitFor({ timeout: patience })
  assert.deepStrictEqual(broken, [])
  await context.close()
})

it("says what to do without a microphone or its permission, and offers to send a file", async () => {
  const { broken, context, page } = await here.open()
  await page.locator('meta[name="spillway-worklet"]').evaluate((meta) => meta.setAttribute("content", "assets/none.js"))
  await record(page)
  await page.getByText(/A part of this page can't be loaded.*Reload the page/).waitFor()
  await page.evaluate(() => {
    navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("no", "NotAllowedError"))
  })
  await record(page)
  await page.getByText(/no permission to use the microphone. Allow it.*Or drop a WAV file/).waitFor()
  assert.deepStrictEqual(broken, [])
  await context.close()
  const bare = await launch()
  const without = await open(bare, `${here.server.url}/#key=${here.server.key}`, { permissions: ["microphone"] })
  await record(without.page)
  await without.page.getByText(/There is no microphone. Connect one.*Or drop a WAV file/).waitFor()
  await bare.close()
})

/** `spillway export` as a process, against a real server. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert, it } from "@effect/vitest"
import { stream } from "../../support/Capturer.ts"
import { fileServer, testDirectory } from "../../support/TestServer.ts"
import { run } from "../support/Command.ts"

const server = fileServer({ SPILLWAY_COMMIT_INTERVAL: "50 millis" })

const start = 1_700_000_000
const rate = 16_000

/** Seconds of audio that differ. */
const part = (seconds: number, seed: number) =>
  Buffer.from(Array.from({ length: seconds * rate * 2 }, (_, at) => (at * 31 + seed) % 251))

/** Two audio files, with ten minutes between them. */
const [first, second] = [part(3, 1), part(2, 7)]

const record = async () => {
  const sent = { server: () => server, speed: 1_000 }
  await stream({ conversation: "c", start, sampleRate: rate, pcm: first }, sent)
  await stream({ conversation: "c", start: start + 600, sampleRate: rate, pcm: second }, sent)
}

it("writes a conversation, or a part of it, as one WAV or Ogg, or as a ZIP, and says what is wrong", async () => {
  await record()
  const directory = Path.dirname(testDirectory())
  const file = (name: string) => Path.join(directory, name)

  const wav = await run(server, "export", "c", "-o", file("c.wav"))
  assert.deepStrictEqual(wav, { code: 0, out: `${file("c.wav")}  ${44 + 5 * rate * 2} bytes\n`, err: wav.err })
  assert.isTrue(
    Fs.readFileSync(file("c.wav"))
      .subarray(44)
      .equals(Buffer.concat([first, second]))
  )

  const cut = await run(server, "export", "c", "--from", String(start + 1), "--to", "2023-11-14T22:13:22Z", "-o", "-")
  assert.strictEqual(cut.code, 0, cut.err)
  assert.isTrue(
    Buffer.from(cut.out, "latin1")
      .subarray(44)
      .equals(first.subarray(rate * 2, rate * 4))
  )

  const ogg = await run(server, "export", "c", "--format", "ogg", "-o", file("c.ogg"))
  assert.strictEqual(ogg.code, 0, ogg.err)
  assert.strictEqual(Fs.readFileSync(file("c.ogg")).toString("latin1", 0, 4), "OggS")
  const fetched = await run(server, "fetch", "c", "--format", "ogg", "--file", "2", "-o", "-")
  assert.deepStrictEqual([fetched.code, fetched.out.slice(0, 4)], [0, "OggS"], fetched.err)

  const zip = await run(server, "export", "c", "--format", "zip", "-o", file("c.zip"))
  assert.strictEqual(zip.code, 0, zip.err)
  const packed = Fs.readFileSync(file("c.zip"))
  assert.deepStrictEqual([packed.toString("latin1", 0, 2), packed.includes("manifest.json")], ["PK", true])
  assert.isTrue(packed.includes(second), "the audio is not compressed")

  const none = await run(server, "export", "unknown", "-o", file("none.wav"))
  assert.deepStrictEqual([none.code, none.err.trim().split("\n").length], [1, 1])
  assert.match(none.err, /^spillway: The server answers 404/)
  const late = await run(server, "export", "c", "--from", "tomorrow", "-o", file("none.wav"))
  assert.match(late.err, /^spillway: The server answers 400: .*from/)
  assert.deepStrictEqual(Fs.readdirSync(directory).toSorted(), ["c.ogg", "c.wav", "c.zip"])
})

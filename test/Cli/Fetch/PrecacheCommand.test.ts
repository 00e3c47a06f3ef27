/** `spillway precache` as a process, against a real server. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert, it } from "@effect/vitest"
import { stream } from "../../support/Capturer.ts"
import { fileServer } from "../../support/TestServer.ts"
import { run } from "../support/Command.ts"

const server = fileServer({ SPILLWAY_COMMIT_INTERVAL: "50 millis", SPILLWAY_CHUNK_DURATION: "1 second" })

const start = 1_700_000_000
const pcm = Buffer.from(Array.from({ length: 64_000 }, (_, at) => (at * 31) % 251))

const send = (conversation: string, at: number) =>
  stream({ conversation, start: at, sampleRate: 16_000, pcm }, { server: () => server, speed: 1_000 })

const artifacts = async (conversation: string, format: string) => {
  const response = await fetch(`${server.url}/v1/sync/audio/${conversation}/urls?format=${format}`, {
    headers: { authorization: `Bearer ${server.key}` }
  })
  const { audio_files: files }: { audio_files: ReadonlyArray<{ artifact?: { state: string } }> } = JSON.parse(
    await response.text()
  )
  return files.map(({ artifact }) => artifact?.state)
}

it("merges each audio file in the format, and waits for it", async () => {
  await send("c", start)
  await send("c", start + 600)
  const wav = await run(server, "precache", "c", "--wait")
  assert.deepStrictEqual([wav.code, wav.out], [0, "2 audio files merged\n"], wav.err)
  assert.deepStrictEqual(await artifacts("c", "wav"), ["merged", "merged"])
  assert.deepStrictEqual(await artifacts("c", "ogg"), [undefined, undefined])

  const asked = await run(server, "precache", "c", "--format", "ogg")
  assert.deepStrictEqual([asked.code, asked.out], [0, "2 audio files merged or being merged\n"], asked.err)
  assert.isTrue((await artifacts("c", "ogg")).every((state) => state !== undefined))
  const ogg = await run(server, "precache", "c", "--format", "ogg", "--wait")
  assert.deepStrictEqual([ogg.code, ogg.out], [0, "2 audio files merged\n"], ogg.err)
  assert.deepStrictEqual(await artifacts("c", "ogg"), ["merged", "merged"])
})

it("names the audio files that were not merged, and why", async () => {
  await send("damaged", start)
  assert.strictEqual((await run(server, "precache", "damaged", "--wait")).code, 0)
  const objects = Path.join(server.dataDir, "objects")
  const names = Fs.readdirSync(objects, { recursive: true, encoding: "utf8" })
  const chunk = names.find((name) => name.includes("chunks") && name.includes("damaged") && name.includes("1700000000"))
  Fs.rmSync(Path.join(objects, chunk ?? assert.fail(names.join(" "))))
  const { code, err, out } = await run(server, "precache", "damaged", "--format", "ogg", "--wait")
  assert.deepStrictEqual([code, out], [1, ""])
  assert.match(err, /^[0-9a-f-]{36} {2}not merged: audio is missing in the store; the server tries again$/m)
  assert.match(err, /^spillway: 1 of 1 audio files of damaged were not merged\.$/m)

  const unknown = await run(server, "precache", "unknown")
  assert.strictEqual(unknown.code, 1)
  assert.match(unknown.err, /^spillway: The server answers 404/)
})

/** `spillway urls` as a process, against a real server. */
import { assert, it } from "@effect/vitest"
import { stream } from "../../support/Capturer.ts"
import { fileServer } from "../../support/TestServer.ts"
import { run } from "../support/Command.ts"

const server = fileServer({ SPILLWAY_COMMIT_INTERVAL: "50 millis" })

const start = 1_700_000_000
const pcm = Buffer.from(Array.from({ length: 64_000 }, (_, at) => (at * 31) % 251))

const play = async (url: string) => Buffer.from(await (await fetch(url)).arrayBuffer()).subarray(44)

it("prints URLs that play without a key, in the format asked for, as a table or as JSON", async () => {
  const sent = { server: () => server, speed: 1_000 }
  for (const at of [start, start + 600]) await stream({ conversation: "c", start: at, sampleRate: 16_000, pcm }, sent)

  const { code, err, out } = await run(server, "urls", "c", "--json")
  assert.strictEqual(code, 0, err)
  const { audio_files: files, conversation_audio: whole } = JSON.parse(out)
  assert.deepStrictEqual(
    files.map(({ duration, status }: { duration: number; status: string }) => [duration, status]),
    [
      [2, "cached"],
      [2, "cached"]
    ]
  )
  for (const { signed_url: url } of files) assert.isTrue((await play(url)).equals(pcm))
  assert.isTrue((await play(whole.signed_url)).equals(Buffer.concat([pcm, pcm])))
  assert.strictEqual(whole.spans.length, 2)

  const table = await run(server, "urls", "c")
  const [head = "", ...rows] = table.out.trim().split("\n")
  assert.match(head, /^AUDIO FILE +STARTED \(UTC\) +LENGTH +URL$/)
  assert.deepStrictEqual(
    rows.map((row) => row.split(/ {2,}/).slice(0, -1)),
    [
      [files[0].id, "2023-11-14 22:13:20", "0:02"],
      [files[1].id, "2023-11-14 22:23:20", "0:02"],
      ["all", "0:04"]
    ]
  )
  for (const row of rows) assert.strictEqual((await fetch(/http\S+$/.exec(row)?.[0] ?? "")).status, 200)

  const ogg = JSON.parse((await run(server, "urls", "c", "--format", "ogg", "--json")).out)
  const { content_type: type, signed_url: url } = ogg.conversation_audio
  assert.strictEqual(type, "audio/ogg; codecs=opus")
  assert.strictEqual(Buffer.from(await (await fetch(url)).arrayBuffer()).toString("latin1", 0, 4), "OggS")

  assert.strictEqual((await run(server, "precache", "c", "--wait")).code, 0)
  const merged = JSON.parse((await run(server, "urls", "c", "--json")).out)
  assert.deepStrictEqual(
    merged.audio_files.map(({ artifact }: { artifact: unknown }) => artifact),
    [{ state: "merged" }, { state: "merged" }]
  )

  const unknown = await run(server, "urls", "unknown")
  assert.strictEqual(unknown.code, 1)
  assert.match(unknown.err, /^spillway: The server answers 404/)
})

/** `spillway transcript` as a process, against a real server. */
import { assert, it } from "@effect/vitest"
import { switchTo } from "../../support/Capturer.ts"
import { openCaptureSocket } from "../../support/CaptureSocket.ts"
import { fileServer } from "../../support/TestServer.ts"
import { run } from "../support/Command.ts"

const server = fileServer({ SPILLWAY_COMMIT_INTERVAL: "50 millis" })

const message = (segments: ReadonlyArray<object>) => {
  const head = Buffer.alloc(4)
  head.writeUInt32LE(102)
  return Buffer.concat([head, Buffer.from(JSON.stringify({ segments }))])
}

it("prints all pages as text, as subtitles, or with all fields as JSON", async () => {
  const { closed, socket } = await openCaptureSocket(server)
  socket.send(switchTo("c"))
  const count = 1_203
  const segments = Array.from({ length: count }, (_, n) => ({
    id: `s${n}`,
    start: n * 3.25,
    end: n * 3.25 + 1.5,
    text: ` sentence\n${n}`,
    ...(n === 0 ? { is_user: true } : { speaker: "SPEAKER_01", extra: [n] })
  }))
  for (const [from, to] of [
    [0, 1_000],
    [1_000, count]
  ] as const)
    socket.send(message(segments.slice(from, to)))
  const json = async () => {
    const { code, err, out } = await run(server, "transcript", "c", "--format", "json")
    assert.strictEqual(code, 0, err)
    return out
  }
  let lines: ReadonlyArray<string> = []
  while (lines.length < count)
    lines = (await json())
      .trim()
      .split("\n")
      .filter((line) => line !== "")
  assert.deepStrictEqual(
    lines.map((line) => JSON.parse(line)),
    segments
  )
  const text = (await run(server, "transcript", "c")).out.trimEnd().split("\n")
  assert.deepStrictEqual(
    [text.length, text[0], text[1], text.at(-1)],
    [count, "0:00  You: sentence 0", "0:03  SPEAKER_01: sentence 1", "1:05:07  SPEAKER_01: sentence 1202"]
  )
  const srt = (await run(server, "transcript", "c", "--format", "srt")).out.split("\n\n")
  assert.strictEqual(srt[0], "1\n00:00:00,000 --> 00:00:01,500\nYou: sentence 0")
  assert.strictEqual(srt[count - 1]?.trimEnd(), "1203\n01:05:06,500 --> 01:05:08,000\nSPEAKER_01: sentence 1202")
  const unknown = await run(server, "transcript", "unknown")
  assert.strictEqual(unknown.code, 1)
  assert.match(unknown.err, /^spillway: The server answers 404/)
  socket.close()
  await closed
})

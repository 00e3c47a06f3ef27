/** `src/Pusher/Session.ts` on a real server whose store is away and whose journal is full. */
import { assert, it } from "@effect/vitest"
import { onTestFinished } from "vitest"
import { audioFrame, readAck, switchTo } from "../support/Capturer.ts"
import { openCaptureSocket } from "../support/CaptureSocket.ts"
import { GcsServer } from "../support/gcs/Server.ts"
import { testServer } from "../support/TestServer.ts"

it("tells the client which acknowledged audio was given up, and never that it is stored", async () => {
  const bucket = await GcsServer.start({ buckets: ["full"], needsToken: false })
  onTestFinished(() => bucket.stop())
  const server = await testServer({
    SPILLWAY_GCS_ENDPOINT: bucket.url,
    SPILLWAY_BUCKET: "full",
    SPILLWAY_JOURNAL_BYTES: "2 MiB",
    SEGMENT_BYTES: "256 KiB",
    SPILLWAY_CHUNK_DURATION: "2 seconds",
    SPILLWAY_COMMIT_INTERVAL: "20 millis"
  })
  bucket.faults.add({ times: Infinity, fault: { kind: "status", status: 503 } })
  const start = 1_700_000_000
  const { messages, socket, until } = await openCaptureSocket(server, { query: "?ack=1&audio_timeline=2" })
  socket.send(switchTo("talk"))
  for (let second = 0; second < 120; second++) socket.send(audioFrame(start + second, Buffer.alloc(32_000, second + 1)))
  const notices = () =>
    messages
      .filter((message) => message.readUInt32LE(0) === 204)
      .map((message) => JSON.parse(message.toString("utf8", 4)))
      .filter(({ type }) => type === "lost")
  await until(() => notices().length > 1)
  const [first, second] = notices()
  assert.strictEqual(first.conversation_id, "talk")
  assert.isTrue(first.seconds > 0 && first.start >= start && first.start + first.seconds <= start + 120)
  assert.isAtLeast(Math.abs(second.start - first.start), first.seconds - 1e-6)
  bucket.faults.clear()
  await until((all) => all.some((message) => readAck(message)?.through === start + 120))
  const earliest = Math.min(...notices().map((notice) => notice.start))
  for (const message of messages) assert.isAtMost(readAck(message)?.stored ?? 0, earliest + 1e-6)
  socket.close()
})

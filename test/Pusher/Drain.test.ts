/** How `src/Pusher/Sockets.ts` closes the captures of a real server that stops. */
import { assert, it } from "@effect/vitest"
import { audioFrame, switchTo } from "../support/Capturer.ts"
import { openCaptureSocket } from "../support/CaptureSocket.ts"
import { testServer } from "../support/TestServer.ts"
import { drain, drainComplaints } from "./support/Drain.ts"

const start = 1_700_000_000
const frameSeconds = 10
const audio = Buffer.alloc(16_000 * 2 * frameSeconds, 1)

it("closes captures with 1001, and waits neither for a client that keeps sending nor for one that is gone", async () => {
  const server = await testServer({ CLOSE_TIMEOUT: "1 second", HTTP_SHUTDOWN_TIMEOUT: "30 seconds" })
  const open = (uid: string) => openCaptureSocket(server, { query: `?audio_timeline=2&ack=1&uid=${uid}` })
  const senders = await Promise.all(Array.from({ length: 4 }, (_, index) => open(`user-${index}`)))
  for (const { socket } of senders) {
    let at = 0
    const send = () => {
      if (socket.readyState !== socket.OPEN) return
      socket.send(audioFrame(start + at++ * frameSeconds, audio), send)
    }
    socket.send(switchTo("talk"))
    for (let ahead = 0; ahead < 40; ahead++) send()
  }
  const silent = await open("silent")
  silent.socket.send(switchTo("quiet"))
  silent.socket.send(audioFrame(start, audio))
  await silent.acknowledged(1)
  // Reads no more, so that it never answers a closing handshake.
  silent.socket.pause()
  await Promise.all(senders.map(({ acknowledged }) => acknowledged(1)))
  const began = performance.now()
  assert.strictEqual(await server.stop(), 0)
  assert.isBelow(performance.now() - began, 20_000)
  const closed = await Promise.all(senders.map(({ closed }) => closed))
  assert.deepStrictEqual(
    closed.map(({ code }) => code),
    [1001, 1001, 1001, 1001]
  )
  silent.socket.terminate()
  assert.match(
    server.output(),
    /recording stopped after [\d.]+ s: 5 captures ended, \d+ chunks uploaded, (no audio stays|\d+ chunks \(\d+ bytes\) stay) in the journal/
  )
})

/** `npm run drain` stops a thousand. */
const captures = 100

it(`notifies ${captures} captures, rejects others, uploads their audio, and loses nothing that was acknowledged`, async () => {
  const report = await drain({ captures, seconds: 2 })
  assert.deepStrictEqual(drainComplaints(report, captures), [])
})

/** How `src/Pusher/Sockets.ts` closes the captures of a real server that stops. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert, expect, it } from "@effect/vitest"
import { WebSocket } from "ws"
import { audioFrame, switchTo } from "../support/Capturer.ts"
import { dataDirectory, startServer } from "../support/Server.ts"

const start = 1_700_000_000
const frameSeconds = 10
const audio = Buffer.alloc(16_000 * 2 * frameSeconds, 1)

it("closes captures with 1001, and waits neither for a client that keeps sending nor for one that is gone", async () => {
  const dataDir = dataDirectory()
  const server = await startServer(dataDir, {
    SPILLWAY_CLOSE_TIMEOUT: "1 second",
    SPILLWAY_HTTP_SHUTDOWN_TIMEOUT: "30 seconds"
  })
  const url = `${server.url.replace("http", "ws")}/v1/trigger/listen?audio_timeline=2&ack=1&uid=`
  const headers = { authorization: `Bearer ${server.key}` }
  const senders = Array.from({ length: 4 }, (_, index) => {
    const socket = new WebSocket(`${url}user-${index}`, { headers })
    let at = 0
    const send = () => {
      if (socket.readyState !== socket.OPEN) return
      socket.send(audioFrame(start + at++ * frameSeconds, audio), send)
    }
    const acknowledged = new Promise<void>((resolve) => {
      socket.on("message", (data: Buffer) => (data.readUInt32LE(0) === 203 ? resolve() : undefined))
    })
    socket.on("open", () => {
      socket.send(switchTo("talk"))
      for (let ahead = 0; ahead < 40; ahead++) send()
    })
    socket.on("error", () => {})
    return { acknowledged, closed: new Promise<number>((resolve) => socket.on("close", resolve)) }
  })
  const silent = new WebSocket(`${url}silent`, { headers })
  await new Promise((resolve) => silent.once("open", resolve))
  // Reads nothing any more, so that it never answers a closing handshake.
  silent.pause()
  await Promise.all(senders.map(({ acknowledged }) => acknowledged))
  const began = performance.now()
  const code = await server.stop()
  assert.strictEqual(code, 0)
  expect(performance.now() - began).toBeLessThan(20_000)
  assert.deepStrictEqual(await Promise.all(senders.map(({ closed }) => closed)), [1001, 1001, 1001, 1001])
  silent.terminate()
  Fs.rmSync(Path.dirname(dataDir), { recursive: true, force: true })
})

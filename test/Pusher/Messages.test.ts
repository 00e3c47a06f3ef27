/** `src/Pusher/Session.ts` and the messages of omi's backend on a real server: their sizes, their JSON, its key in the URL, and acknowledgements of stored audio. */
import { assert, it } from "@effect/vitest"
import { WebSocket } from "ws"
import { audioFrame, readAck, switchTo } from "../support/Capturer.ts"
import { openCaptureSocket } from "../support/CaptureSocket.ts"
import { fileServer, testServer } from "../support/TestServer.ts"

const server = fileServer({ SPILLWAY_COMMIT_INTERVAL: "20 millis" })

const second = Buffer.alloc(32_000, 1)
const start = 1_700_000_000

const open = (query: string) => openCaptureSocket(server, { query: `?${query}` })

const message = (opcode: number, body: string) => {
  const head = Buffer.alloc(4)
  head.writeUInt32LE(opcode)
  return Buffer.concat([head, Buffer.from(body)])
}

const acks = (messages: ReadonlyArray<Buffer>) =>
  messages.flatMap((each) => {
    const ack = readAck(each)
    return ack === undefined ? [] : [ack]
  })

it("keeps a socket open whose JSON can't be used", async () => {
  const { acknowledged, socket } = await open("ack=1&uid=json")
  socket.send(switchTo("json"))
  for (const opcode of [102, 104, 105])
    for (const text of ["", "null", "{", "[]", "\u0000", `"${"x".repeat(2_000_000)}"`])
      socket.send(message(opcode, text))
  socket.send(audioFrame(start, second))
  await acknowledged(second.length)
  socket.close()
  const metrics = await (await fetch(`${server.url}/metrics`)).text()
  assert.match(metrics, /^spillway_messages_ignored_total \d/m)
})

it("accepts the key as the password of a URL", async () => {
  const url = new URL(`${server.url.replace("http", "ws")}/v1/trigger/listen?uid=basic`)
  const statusOf = (key: string) =>
    new Promise<number>((resolve) => {
      url.username = "omi"
      url.password = key
      const socket = new WebSocket(url)
      socket.on("open", () => resolve(101))
      socket.on("unexpected-response", (_request, { statusCode }) => resolve(statusCode ?? 0))
      socket.on("error", () => {})
      socket.on("open", () => socket.close())
    })
  assert.deepStrictEqual([await statusOf(server.key), await statusOf("spw_wrong"), await statusOf("")], [101, 401, 401])
})

it("records messages of 10 MiB of more sockets than are read at a time", async () => {
  const backlog = Buffer.alloc(10 * 1024 * 1024, 3)
  const sockets = await Promise.all(
    Array.from({ length: 20 }, (_, i) => open(`ack=1&audio_timeline=2&uid=large-${i % 7}`))
  )
  await Promise.all(
    sockets.map(async ({ acknowledged, socket }, i) => {
      socket.send(switchTo(`large-${i}`))
      socket.send(audioFrame(start, backlog))
      await acknowledged(backlog.length)
      socket.close()
    })
  )
})

it("closes a socket with 1013 whose large message does not arrive in time", async () => {
  const patient = await testServer({ LARGE_MESSAGE_TIMEOUT: "1 second" })
  const { closed, socket } = await openCaptureSocket(patient)
  socket.send(switchTo("slow"))
  socket.send(audioFrame(start, Buffer.alloc(200_000)), { fin: false })
  assert.deepStrictEqual(await closed, { code: 1013, reason: "Retry-After: 5; a message took too long" })
})

it("says up to where audio is in the store, also of a conversation that the socket has left", async () => {
  const { messages, socket, until } = await open("ack=1&audio_timeline=2&uid=stored")
  socket.send(switchTo("a"))
  socket.send(audioFrame(start, second))
  await until((all) => acks(all).length > 0)
  assert.deepStrictEqual(acks(messages)[0], { conversation_id: "a", through: start + 1, bytes: second.length })
  socket.send(switchTo("b"))
  await until((all) => acks(all).some(({ conversation_id, stored }) => conversation_id === "a" && stored === start + 1))
  socket.send(audioFrame(start, second))
  await until((all) => acks(all).some(({ conversation_id }) => conversation_id === "b"))
  assert.isUndefined(acks(messages).find(({ conversation_id }) => conversation_id === "b")?.stored)
  socket.close()
})

it("acknowledges only stored audio with `ack=store`, a replay of stored audio at once", async () => {
  const { messages, socket, until } = await open("ack=store&audio_timeline=2&uid=store")
  socket.send(switchTo("a"))
  socket.send(audioFrame(start, second))
  socket.send(switchTo("b"))
  await until((all) => acks(all).length > 0)
  const [first] = acks(messages)
  assert.deepStrictEqual(first, { conversation_id: "a", through: start + 1, stored: start + 1, bytes: second.length })
  socket.send(switchTo("a"))
  socket.send(audioFrame(start, second))
  await until((all) => acks(all).length > 1)
  assert.deepStrictEqual(acks(messages)[1], first)
  socket.close()
})

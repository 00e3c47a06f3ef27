/** `src/Pusher/RecentConversations.ts` on a real server: sockets that send audio before they select a conversation, as omi's backend does after a reconnect. */
import { assert, it } from "@effect/vitest"
import { audioFrame, readAck, switchTo } from "../support/Capturer.ts"
import { openCaptureSocket } from "../support/CaptureSocket.ts"
import { startServer } from "../support/Server.ts"
import { fileServer } from "../support/TestServer.ts"

const env = { SPILLWAY_COMMIT_INTERVAL: "20 millis" }
const server = fileServer(env)

const second = Buffer.alloc(32_000, 1)
const start = 1_700_000_000

const open = (query: string, to: { readonly url: string; readonly key: string } = server) =>
  openCaptureSocket(to, { query: `?ack=1&audio_timeline=2&${query}` })

const acks = (messages: ReadonlyArray<Buffer>) =>
  messages.flatMap((message) => {
    const ack = readAck(message)
    return ack === undefined ? [] : [ack]
  })

const record = async (query: string, conversation: string, to?: { readonly url: string; readonly key: string }) => {
  const { acknowledged, closed, socket } = await open(query, to)
  socket.send(switchTo(conversation))
  socket.send(audioFrame(start, second))
  await acknowledged(second.length)
  socket.close()
  await closed
}

it("continues the conversation that the same kind of app of the user fed last", async () => {
  await record("uid=ada&client_kind=omi", "first")
  await record("uid=ada&client_kind=omi", "second")
  await record("uid=ada&client_kind=other", "other")
  await record("uid=bob&client_kind=omi", "bobs")
  const { acknowledged, messages, socket } = await open("uid=ada&client_kind=omi")
  socket.send(audioFrame(start + 1, second))
  await acknowledged(second.length)
  assert.deepInclude(acks(messages)[0], { conversation_id: "second", through: start + 2 })
  socket.close()
})

it("continues it with the audio that arrives together with the selection of another one", async () => {
  await record("uid=hal&client_kind=omi", "before")
  const { acknowledged, messages, socket } = await open("uid=hal&client_kind=omi")
  const piece = second.subarray(0, 3_200)
  socket.send(audioFrame(start + 1, piece))
  socket.send(switchTo("after"))
  socket.send(audioFrame(start + 2, second))
  await acknowledged(second.length)
  const bytes = acks(messages).map(({ bytes, conversation_id }) => [conversation_id, bytes])
  assert.deepStrictEqual(bytes, [
    ["before", piece.length],
    ["after", second.length]
  ])
  socket.close()
})

it("continues it after the server was killed", async () => {
  const before = await startServer(`${server.dataDir}-killed`, env)
  await record("uid=eve", "talk", before)
  await before.kill()
  const after = await startServer(`${server.dataDir}-killed`, env)
  const { acknowledged, messages, socket } = await open("uid=eve", after)
  socket.send(audioFrame(start + 1, second))
  await acknowledged(second.length)
  assert.deepInclude(acks(messages)[0], { conversation_id: "talk", through: start + 2 })
  socket.close()
  await after.kill()
})

it("records a backlog of 10 MiB in one message, which arrives before the conversation is selected", async () => {
  await record("uid=carl", "backlog")
  const backlog = Buffer.alloc(10 * 1024 * 1024, 3)
  const { acknowledged, socket } = await open("uid=carl")
  socket.send(audioFrame(start + 1, backlog))
  await acknowledged(backlog.length)
  socket.close()
})

it("holds audio until a conversation is selected if there is none to continue", async () => {
  const { acknowledged, messages, socket } = await open("uid=dan")
  socket.send(audioFrame(start, second))
  socket.send(audioFrame(start + 1, second))
  socket.send(switchTo("late"))
  await acknowledged(2 * second.length)
  assert.deepInclude(acks(messages).at(-1), { conversation_id: "late", through: start + 2 })
  socket.close()
})

it("closes a socket with 1003 that sends more audio than it holds, and selects none", async () => {
  const { closed, socket } = await open("uid=fay")
  for (let at = 0; at < 3; at++) socket.send(audioFrame(start + at, second))
  assert.deepStrictEqual(await closed, { code: 1003, reason: "choose a conversation (103) before audio" })
})

it("forgets a conversation that is deleted", async () => {
  await record("uid=gus", "deleted")
  const headers = { authorization: `Bearer ${server.key}` }
  const deleted = await fetch(`${server.url}/v1/conversations/deleted?uid=gus`, { method: "DELETE", headers })
  const { job_id: id } = JSON.parse(await deleted.text())
  const isDone = async () => {
    const job = await fetch(`${server.url}/v1/deletions/${id}?uid=gus`, { headers })
    return /"status":"done"/.test(await job.text())
  }
  while (!(await isDone())) await new Promise((resolve) => setTimeout(resolve, 100))
  const { acknowledged, messages, socket } = await open("uid=gus")
  socket.send(audioFrame(start, second))
  socket.send(switchTo("anew"))
  await acknowledged(second.length)
  assert.deepInclude(acks(messages)[0], { conversation_id: "anew" })
  socket.close()
})

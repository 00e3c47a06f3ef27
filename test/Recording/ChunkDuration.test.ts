/** `src/Recording` with chunks of a minute and of five on real servers: the same audio, for fewer operations of the store. */
import { assert, it } from "@effect/vitest"
import { stream } from "../support/Capturer.ts"
import { testServer } from "../support/TestServer.ts"

const sampleRate = 8_000
const minutes = 30

const tone = () => {
  const pcm = Buffer.alloc(minutes * 60 * sampleRate * 2)
  for (let at = 0, value = 1; at < pcm.length; at += 2) {
    value = (Math.imul(value, 1_103_515_245) + 12_345) & 0x7fff_ffff
    pcm.writeInt16LE((value >> 12) % 30_000, at)
  }
  return pcm
}

const storeUse = async (chunkDuration: string, pcm: Buffer) => {
  const server = await testServer({ SPILLWAY_CHUNK_DURATION: chunkDuration, FRAMES_PER_SECOND: "100000" })
  const recorded = { conversation: "talk", start: 1_700_000_000, sampleRate, pcm }
  await stream(recorded, { server: () => server, frameSeconds: 2, speed: 1e9 })
  const headers = { authorization: `Bearer ${server.key}` }
  const get = (path: string) => fetch(`${server.url}${path}`, { headers })
  const use = async () => JSON.parse(await (await get("/v1/captures")).text()).node.store
  while ((await use()).audio_seconds < minutes * 60) await new Promise((resolve) => setTimeout(resolve, 50))
  const { audio_files: files } = JSON.parse(await (await get("/v1/conversations/talk")).text())
  const played = await get(`/v1/sync/audio/talk/${files[0].id}?format=pcm`)
  assert.isTrue(Buffer.from(await played.arrayBuffer()).equals(pcm))
  // The server's figures are up to half a second old.
  while ((await use()).read_bytes < pcm.length) await new Promise((resolve) => setTimeout(resolve, 50))
  const found = await use()
  assert.deepInclude(found, { written_bytes: pcm.length, read_bytes: pcm.length, audio_seconds: minutes * 60 })
  return found
}

it("writes a fifth as often with chunks of five minutes as with chunks of one, and says so", async () => {
  const pcm = tone()
  const [one, five] = [await storeUse("1 minute", pcm), await storeUse("5 minutes", pcm)]
  // The first chunk of a capture has a random length. Readiness lists the store now and then.
  assert.isAtLeast(one.class_a, minutes)
  assert.isAtMost(five.class_a, minutes / 5 + 10)
  assert.isAtLeast(one.class_a - five.class_a, minutes - minutes / 5 - 10)
})

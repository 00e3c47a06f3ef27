/** Objects of the storage server on disk are there again when the next one starts. */
import { assert, it } from "@effect/vitest"
import { GcsServer } from "./Server.ts"
import { testFolder } from "../TestFolder.ts"

it("keeps objects, their generations and metadata, and forgets what was deleted", async () => {
  const options = { buckets: ["kept"], needsToken: false, writesPerSecond: Infinity, directory: testFolder() }
  const first = await GcsServer.start(options)
  const upload = async (name: string, body: Uint8Array<ArrayBuffer>) => {
    const query = `uploadType=media&name=${encodeURIComponent(name)}&ifGenerationMatch=0`
    return (await fetch(`${first.url}/upload/storage/v1/b/kept/o?${query}`, { method: "POST", body })).status
  }
  const bytes = Uint8Array.of(1, 10, 13, 0, 255)
  assert.strictEqual(await upload("a/é", bytes), 200)
  assert.strictEqual(await upload("b", bytes), 200)
  await fetch(`${first.url}/storage/v1/b/kept/o/b`, { method: "DELETE" })
  await fetch(`${first.url}/storage/v1/b/kept/o/${encodeURIComponent("a/é")}`, {
    method: "PATCH",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ metadata: { codec: "pcm16" } })
  })
  const before = [...first.objects.bucket("kept").values()]
  await first.stop()
  const second = await GcsServer.start(options)
  assert.deepStrictEqual([...second.objects.bucket("kept").values()], before)
  assert.deepStrictEqual(before[0]?.metadata, { codec: "pcm16" })
  await second.stop()
})

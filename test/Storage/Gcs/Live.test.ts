/** `src/Storage/Gcs` on a real server: audio reaches the bucket and plays from there; what is missing is reported at the start. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { afterAll, assert, beforeAll, it } from "@effect/vitest"
import { onTestFinished } from "vitest"
import { stream } from "../../support/Capturer.ts"
import * as Account from "../../support/gcs/Account.ts"
import { allPermissions, GcsServer } from "../../support/gcs/Server.ts"
import { dataDirectory, spawnServer, startServer } from "../../support/Server.ts"

const account = Account.make()
const bucket = "spillway-live"
let gcs: GcsServer
let limited: GcsServer
let dataDir: string
let keyFile: string

beforeAll(async () => {
  dataDir = dataDirectory()
  gcs = await GcsServer.start({ account, buckets: [bucket] })
  const permissions = allPermissions.filter((each) => each !== "storage.objects.create")
  limited = await GcsServer.start({ account, buckets: [bucket], permissions })
  keyFile = Account.writeKeyFile(Path.dirname(dataDir), account)
})

afterAll(async () => {
  await gcs.stop()
  await limited.stop()
  Fs.rmSync(Path.dirname(dataDir), { recursive: true, force: true, maxRetries: 20 })
})

const env = (more: Readonly<Record<string, string>> = {}) => ({
  SPILLWAY_CHUNK_DURATION: "1 second",
  SPILLWAY_COMMIT_INTERVAL: "100 millis",
  SPILLWAY_BUCKET: bucket,
  SPILLWAY_GCS_ENDPOINT: gcs.url,
  SPILLWAY_GCS_KEY_FILE: keyFile,
  GCS_STALL_TIMEOUT: "300 millis",
  ...more
})

const noise = (seconds: number) =>
  Buffer.from(Uint8Array.from({ length: seconds * 32_000 }, (_, i) => (i * 7919) >>> 5))

it("stores audio in the bucket despite faults, and plays it from there", async () => {
  gcs.faults.add(
    { operation: "multipart", fault: { kind: "status", status: 503 } },
    { operation: "multipart", fault: { kind: "lose" } },
    { operation: "multipart", fault: { kind: "resetUpload", after: 10_000 } },
    { operation: "media", fault: { kind: "resetDownload", after: 20_000 } },
    { operation: "media", fault: { kind: "stallDownload", after: 30_000 } }
  )
  const pcm = noise(3)
  const server = await startServer(dataDir, env())
  onTestFinished(() => server.kill())
  const get = (path: string) => fetch(`${server.url}${path}`, { headers: { authorization: `Bearer ${server.key}` } })
  await stream({ conversation: "c", start: 1_760_000_000, sampleRate: 16_000, pcm }, { server: () => server })
  const stored = () => [...gcs.objects.bucket(bucket).values()].reduce((sum, { bytes }) => sum + bytes.length, 0)
  while (stored() < pcm.length) await new Promise((resolve) => setTimeout(resolve, 20))
  const { audio_files: files } = JSON.parse(await (await get("/v1/conversations/c")).text())
  const heard = await (await get(`/v1/sync/audio/c/${files[0].id}`)).arrayBuffer()
  assert.isTrue(Buffer.from(heard).subarray(44).equals(pcm))
  assert.isAbove(gcs.count("media"), 4)
  assert.isFalse(Fs.existsSync(Path.join(dataDir, "objects")))
  assert.strictEqual(await server.stop(), 0)
})

it("plays through a stalled, damaged or unauthorized download, and reports rejections and missing objects", async () => {
  // As by default, a listener's timeout equals the stall timeout of one request.
  const patience = { GCS_STALL_TIMEOUT: "4 seconds", FIRST_AUDIO_TIMEOUT: "4 seconds" }
  // One chunk, so that it is read once.
  const server = await startServer(dataDir, env({ ...patience, SPILLWAY_CHUNK_DURATION: "1 minute" }))
  onTestFinished(() => server.kill())
  const get = (path: string) => fetch(`${server.url}${path}`, { headers: { authorization: `Bearer ${server.key}` } })
  const pcm = noise(1)
  await stream({ conversation: "ill", start: 1_760_000_000, sampleRate: 16_000, pcm }, { server: () => server })
  const { audio_files: files } = JSON.parse(await (await get("/v1/conversations/ill")).text())
  const hear = async () => {
    const response = await get(`/v1/sync/audio/ill/${files[0].id}`)
    const body = Buffer.from(await response.arrayBuffer())
    const problem = response.status === 200 ? undefined : JSON.parse(body.toString())
    return { status: response.status, type: problem?.type, isWhole: body.subarray(44).equals(pcm) }
  }
  const whole = { status: 200, type: undefined, isWhole: true }
  for (const before = gcs.count("media"); gcs.count("media") === before;) assert.deepStrictEqual(await hear(), whole)
  for (const fault of [
    { kind: "stall" },
    { kind: "stallDownload", after: 0 },
    { kind: "stallDownload", after: 10_000 },
    { kind: "corruptDownload" },
    { kind: "status", status: 401 },
    { kind: "status", status: 503 }
  ] as const) {
    const before = gcs.count("media")
    gcs.faults.add({ operation: "media", fault })
    assert.deepStrictEqual(await hear(), whole, JSON.stringify(fault))
    assert.strictEqual(gcs.count("media") - before, 2, JSON.stringify(fault))
  }
  const refused = { status: 503, type: "urn:spillway:problem:storage-refused", isWhole: false }
  gcs.faults.add({ operation: "media", fault: { kind: "status", status: 403 } })
  assert.deepStrictEqual(await hear(), refused)
  assert.deepStrictEqual(await hear(), whole)
  const unreadable = { status: 500, type: "urn:spillway:problem:audio-unreadable", isWhole: false }
  gcs.faults.add({ operation: "media", fault: { kind: "corruptDownload" }, times: 2 })
  assert.deepStrictEqual(await hear(), unreadable)
  const objects = gcs.objects.bucket(bucket)
  for (const name of objects.keys()) if (name.includes("/ill/")) objects.delete(name)
  const missing = { status: 404, type: "urn:spillway:problem:audio-missing", isWhole: false }
  assert.deepStrictEqual(await hear(), missing)
  assert.strictEqual(await server.stop(), 0)
})

const end = async (more: Readonly<Record<string, string>>) => {
  const { child, output } = spawnServer(dataDir, env(more))
  const code = await new Promise((resolve) => child.once("exit", resolve))
  return {
    code,
    said: output()
      .split("\n")
      .filter((line) => line.startsWith("spillway: "))
  }
}

it("fails to start with one line that says what is missing", async () => {
  const other = Path.join(Path.dirname(dataDir), "other.json")
  Fs.writeFileSync(other, JSON.stringify(Account.keyFile(Account.make())))
  const none = Path.join(Path.dirname(dataDir), "none.json")
  const cases = [
    [{ SPILLWAY_BUCKET: "no-such-bucket" }, /there is no bucket no-such-bucket/],
    [{ SPILLWAY_GCS_KEY_FILE: none }, /the key file can't be read: ENOENT/],
    [{ SPILLWAY_GCS_KEY_FILE: other }, /Google does not accept the credentials/],
    [{ SPILLWAY_GCS_ENDPOINT: limited.url }, /the credentials lack storage\.objects\.create for the bucket/]
  ] as const
  for (const [more, line] of cases) {
    const { code, said } = await end(more)
    assert.strictEqual(code, 1)
    assert.strictEqual(said.length, 1)
    assert.match(said[0] ?? "", line)
  }
})

/** The protocol server behaves as Google's own client expects, and is as strict as Google. */
import { Storage } from "@google-cloud/storage"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { crc32c } from "@node-rs/crc32"
import * as Account from "./Account.ts"
import { sumText } from "./Objects.ts"
import { GcsServer } from "./Server.ts"

const account = Account.make()
let server: GcsServer
let library: Storage

beforeAll(async () => {
  // The library's resumable uploads send no token to another address than Google's.
  server = await GcsServer.start({ account, needsToken: false, buckets: ["bucket"], writesPerSecond: Infinity })
  library = new Storage({ apiEndpoint: server.url, projectId: "example", retryOptions: { autoRetry: false } })
  // As an option, the library warns of it.
  Object.assign(library.authClient, { jsonContent: Account.keyFile(account) })
})

afterAll(() => server.stop())

const noise = (size: number) => Buffer.from(Uint8Array.from({ length: size }, (_, i) => (i * 2_654_435_761) >>> 13))
const statusOf = (error: unknown) => (error instanceof Error && "code" in error ? error.code : error)
const failure = async (promise: Promise<unknown>) => {
  try {
    await promise
  } catch (error) {
    return statusOf(error)
  }
  return "success"
}

describe("the official client", () => {
  const bytes = noise(1_500_000)

  it("uploads, reads whole objects and ranges, and verifies the checksum", async () => {
    const file = library.bucket("bucket").file("a/b c/é")
    await file.save(bytes, { resumable: false, validation: "crc32c", metadata: { metadata: { codec: "pcm16" } } })
    assert.isTrue((await file.download({ validation: "crc32c" }))[0].equals(bytes))
    assert.isTrue((await file.download({ start: 5, end: 99 }))[0].equals(bytes.subarray(5, 100)))
    const [metadata] = await file.getMetadata()
    assert.deepStrictEqual(
      [metadata.size, metadata.crc32c, metadata.metadata],
      [String(bytes.length), sumText(crc32c(bytes)), { codec: "pcm16" }]
    )
  })

  it("uploads in chunks", async () => {
    const file = library.bucket("bucket").file("chunks")
    await file.save(bytes, { resumable: true, chunkSize: 512 * 1_024, validation: "crc32c" })
    assert.isTrue((await file.download())[0].equals(bytes))
    assert.strictEqual(server.count("chunk"), 3)
  })

  it("lists by prefix, delimiter and page", async () => {
    const bucket = library.bucket("bucket")
    for (const name of ["l/1", "l/2", "l/x/3", "l/x/4", "m"]) await bucket.file(name).save(name, { resumable: false })
    const names = async (query: object) => {
      const [files, , response] = await bucket.getFiles({ autoPaginate: false, ...query })
      return { names: files.map(({ name }) => name), response }
    }
    assert.deepStrictEqual((await names({ prefix: "l/" })).names, ["l/1", "l/2", "l/x/3", "l/x/4"])
    const grouped = await names({ prefix: "l/", delimiter: "/" })
    assert.deepStrictEqual(grouped.names, ["l/1", "l/2"])
    assert.deepInclude(grouped.response, { prefixes: ["l/x/"] })
    assert.deepStrictEqual((await names({ startOffset: "l/2", endOffset: "m" })).names, ["l/2", "l/x/3", "l/x/4"])
    const [page, next] = await bucket.getFiles({ prefix: "l/", maxResults: 3, autoPaginate: false })
    const [rest, end] = await bucket.getFiles({ ...next, autoPaginate: false })
    assert.deepStrictEqual([page.length, rest.map(({ name }) => name), end], [3, ["l/x/4"], null])
  })

  it("composes, copies, changes metadata and removes", async () => {
    const bucket = library.bucket("bucket")
    await bucket.file("one").save("1", { resumable: false })
    await bucket.file("two").save("2", { resumable: false })
    await bucket.combine(["one", "two"], "both")
    assert.strictEqual((await bucket.file("both").download())[0].toString(), "12")
    await bucket.file("both").copy(bucket.file("copy"))
    await bucket.file("copy").setMetadata({ metadata: { a: "1", b: "2" } })
    await bucket.file("copy").setMetadata({ metadata: { a: null } })
    assert.deepStrictEqual((await bucket.file("copy").getMetadata())[0].metadata, { b: "2" })
    await bucket.file("copy").delete()
    assert.deepStrictEqual(await bucket.file("copy").exists(), [false])
    assert.deepStrictEqual(await bucket.exists(), [true])
    assert.deepStrictEqual(await library.bucket("none").exists(), [false])
  })

  it("enforces preconditions", async () => {
    const file = library.bucket("bucket").file("guarded")
    await file.save("1", { resumable: false, preconditionOpts: { ifGenerationMatch: 0 } })
    const again = file.save("2", { resumable: false, preconditionOpts: { ifGenerationMatch: 0 } })
    assert.strictEqual(await failure(again), 412)
    const { generation } = (await file.getMetadata())[0]
    assert.strictEqual(await failure(file.delete({ ifGenerationMatch: Number(generation) + 1 })), 412)
    await file.delete({ ifGenerationMatch: Number(generation) })
  })

  it("signs URLs that open this object, for GET, until they expire", async () => {
    const file = library.bucket("bucket").file("signed/a")
    await file.save("signed", { resumable: false })
    await library.bucket("bucket").file("signed/b").save("other", { resumable: false })
    const sign = async (from: number, until: number) =>
      (await file.getSignedUrl({ version: "v4", action: "read", accessibleAt: from, expires: until }))[0]
    const now = Date.now()
    const url = await sign(now, now + 60_000)
    const answered = await fetch(url, { headers: { range: "bytes=1-3" } })
    assert.deepStrictEqual([answered.status, await answered.text()], [206, "ign"])
    const status = async (of: string, init?: RequestInit) => (await fetch(of, init)).status
    const last = url.at(-1) === "0" ? "1" : "0"
    assert.strictEqual(await status(url.slice(0, -1) + last), 403)
    assert.strictEqual(await status(url.replace("signed/a", "signed/b")), 403)
    assert.strictEqual(await status(url.replace("X-Goog-Expires=60", "X-Goog-Expires=600")), 403)
    assert.strictEqual(await status(url, { method: "PUT", body: "x" }), 403)
    assert.strictEqual(await status(url.replace(/&X-Goog-Signature=.*/, "")), 403)
    const past = await file.getSignedUrl({
      version: "v4",
      action: "read",
      accessibleAt: now - 120_000,
      expires: Date.now() + 60_000
    })
    assert.strictEqual(await status(past[0].replace(/X-Goog-Expires=\d+/, "X-Goog-Expires=60")), 403)
  })
})

describe("the protocol server", () => {
  const api = (path: string, init?: RequestInit) => fetch(`${server.url}${path}`, init)
  const start = async (name: string, resource: object = {}) => {
    const path = `/upload/storage/v1/b/bucket/o?uploadType=resumable&name=${name}`
    return (await api(path, { method: "POST", body: JSON.stringify(resource) })).headers.get("location") ?? ""
  }
  const chunk = (url: string, range: string, body?: Buffer, headers: Record<string, string> = {}) =>
    fetch(url, {
      method: "PUT",
      headers: { "content-range": range, ...headers },
      body: body === undefined ? null : new Uint8Array(body)
    })
  const granule = 256 * 1_024

  it("rejects a wrong CRC32C, and keeps no object", async () => {
    const parts = ['{"name":"bad","crc32c":"AAAAAA=="}', "bytes"]
    const body = parts.map((part, i) => `--x\r\ncontent-type: ${["application/json", "a/b"][i]}\r\n\r\n${part}\r\n`)
    const init = {
      method: "POST",
      body: `${body.join("")}--x--`,
      headers: { "content-type": "multipart/related; boundary=x" }
    }
    assert.strictEqual((await api("/upload/storage/v1/b/bucket/o?uploadType=multipart", init)).status, 400)
    assert.strictEqual((await api("/storage/v1/b/bucket/o/bad")).status, 404)
    const session = await start("bad")
    const hash = { "x-goog-hash": "crc32c=AAAAAA==" }
    assert.strictEqual((await chunk(session, "bytes 0-9/10", noise(10), hash)).status, 400)
    assert.strictEqual((await api("/storage/v1/b/bucket/o/bad")).status, 404)
  })

  it("accepts chunks of whole 256 KiB in order, and returns how many bytes it has", async () => {
    const bytes = noise(granule * 2 + 5)
    const session = await start("in-chunks")
    assert.strictEqual((await chunk(session, `bytes 0-999/${bytes.length}`, bytes.subarray(0, 1_000))).status, 400)
    const none = await chunk(session, `bytes */${bytes.length}`)
    assert.deepStrictEqual([none.status, none.headers.get("range")], [308, null])
    const first = await chunk(session, `bytes 0-${granule - 1}/${bytes.length}`, bytes.subarray(0, granule))
    assert.deepStrictEqual([first.status, first.headers.get("range")], [308, `bytes=0-${granule - 1}`])
    const late = await chunk(
      session,
      `bytes ${granule * 2}-${bytes.length - 1}/${bytes.length}`,
      bytes.subarray(granule * 2)
    )
    assert.strictEqual(late.status, 503)
    const rest = await chunk(session, `bytes ${granule}-${bytes.length - 1}/${bytes.length}`, bytes.subarray(granule))
    assert.strictEqual(rest.status, 200)
    assert.strictEqual((await chunk(session, `bytes */${bytes.length}`)).status, 200)
    assert.isTrue(
      Buffer.from(await (await api("/storage/v1/b/bucket/o/in-chunks?alt=media")).arrayBuffer()).equals(bytes)
    )
  })

  it("returns the requested range, and 416 for one beyond the end", async () => {
    await library.bucket("bucket").file("ten").save("0123456789", { resumable: false })
    const range = async (text: string) => {
      const answer = await api("/storage/v1/b/bucket/o/ten?alt=media", { headers: { range: text } })
      return [answer.status, answer.headers.get("content-range"), answer.ok ? await answer.text() : ""]
    }
    assert.deepStrictEqual(await range("bytes=2-4"), [206, "bytes 2-4/10", "234"])
    assert.deepStrictEqual(await range("bytes=8-99"), [206, "bytes 8-9/10", "89"])
    assert.deepStrictEqual(await range("bytes=-3"), [206, "bytes 7-9/10", "789"])
    assert.deepStrictEqual(await range("bytes=10-"), [416, "bytes */10", ""])
    assert.strictEqual((await api("/storage/v1/b/bucket/o/ten?alt=media&generation=1")).status, 404)
  })

  it("composes at most 32 objects, and no missing ones", async () => {
    const compose = (names: ReadonlyArray<string>) =>
      api("/storage/v1/b/bucket/o/composed/compose", {
        method: "POST",
        body: JSON.stringify({ sourceObjects: names.map((name) => ({ name })) })
      })
    assert.strictEqual((await compose(Array.from({ length: 33 }, () => "ten"))).status, 400)
    assert.strictEqual((await compose([])).status, 400)
    assert.strictEqual((await compose(["ten", "no-such"])).status, 404)
    assert.strictEqual((await compose(Array.from({ length: 32 }, () => "ten"))).status, 200)
  })

  it("accepts one write a second to a name unless configured otherwise", async () => {
    const strict = await GcsServer.start({ buckets: ["bucket"] })
    const write = async () => {
      const path = "/upload/storage/v1/b/bucket/o?uploadType=media&name=often"
      return (await fetch(strict.url + path, { method: "POST", body: "x" })).status
    }
    assert.deepStrictEqual([await write(), await write()], [200, 429])
    await strict.stop()
  })

  it("accepts only the account's tokens for the store", async () => {
    const strict = await GcsServer.start({ account, buckets: ["bucket"] })
    const status = async (token: string) =>
      (await fetch(`${strict.url}/storage/v1/b/bucket/o`, { headers: { authorization: token } })).status
    assert.strictEqual(await status(""), 401)
    assert.strictEqual(await status("Bearer a.b.c"), 401)
    await strict.stop()
  })

  it("injects faults on request, also over HTTP", async () => {
    const rules = [{ operation: "get", contains: "/ten", skip: 1, fault: { kind: "status", status: 502 } }]
    assert.strictEqual((await api("/_faults", { method: "POST", body: JSON.stringify(rules) })).status, 204)
    const seen = []
    for (let i = 0; i < 3; i++) seen.push((await api("/storage/v1/b/bucket/o/ten")).status)
    assert.deepStrictEqual(seen, [200, 502, 200])
  })
})

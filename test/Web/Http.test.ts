/** How the page is served. */
import { request } from "node:http"
import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { brotliDecompressSync, gunzipSync } from "node:zlib"
import { HttpServer } from "effect/http"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Keys } from "../../src/Auth/Keys.ts"
import * as Http from "../../src/Web/Http.ts"
import { served } from "../Http/support/Served.ts"

interface Answer {
  readonly status: number | undefined
  readonly headers: Readonly<Record<string, string | Array<string> | undefined>>
  readonly body: Buffer
}

/** The body as sent, without decompression. */
const get = (path: string, headers: Record<string, string> = {}) =>
  Effect.flatMap(HttpServer.HttpServer, ({ address }) =>
    Effect.callback<Answer>((resume) => {
      const asked = request(`${HttpServer.formatAddress(address)}${path}`, { headers }, (response) => {
        const pieces: Array<Buffer> = []
        response.on("data", (piece: Buffer) => pieces.push(piece))
        response.on("end", () =>
          resume(
            Effect.succeed({ status: response.statusCode, headers: response.headers, body: Buffer.concat(pieces) })
          )
        )
      })
      asked.end()
    })
  )

const page = served(Http.layer).pipe(Layer.provide([Layer.mock(Keys, {}), NodeServices.layer]))

layer(page)("The page", (it) => {
  it.effect("is served under a policy that allows nothing inline and no other origin, and is revalidated", () =>
    Effect.gen(function* () {
      const { body, headers, status } = yield* get("/")
      assert.strictEqual(status, 200)
      const policy = String(headers["content-security-policy"])
      assert.match(policy, /^default-src 'none'; script-src 'self'; style-src 'self';.*frame-ancestors 'none'$/)
      // Recordings are played from the object store.
      assert.include(policy, "; media-src 'self' blob: https:;")
      assert.notMatch(policy.replace(/media-src [^;]*/, ""), /unsafe|https?:|\*/)
      assert.strictEqual(headers["cache-control"], "no-cache")
      // A proxy that compresses responses makes the tag weak.
      for (const known of [`${String(headers["etag"])}`, `"other", W/${String(headers["etag"])}`]) {
        const again = yield* get("/", { "if-none-match": known })
        assert.deepStrictEqual([again.status, again.body.length], [304, 0])
      }
      assert.include(body.toString(), "<title>Spillway</title>")
    })
  )

  it.effect("serves the page of a stream at every slug, under the same policy", () =>
    Effect.gen(function* () {
      const { body, headers, status } = yield* get("/s/morning-show")
      assert.strictEqual(status, 200)
      assert.strictEqual(headers["cache-control"], "no-cache")
      assert.strictEqual(headers["content-security-policy"], (yield* get("/")).headers["content-security-policy"])
      const files = [...body.toString().matchAll(/"(assets\/[^"]+)"/g)].map(([, file]) => file)
      assert.isAtLeast(files.length, 3)
      for (const file of files) assert.strictEqual((yield* get(`/${file}`)).status, 200, file)
      assert.include(body.toString(), '<base href="../" />')
    })
  )

  it.effect("serves immutable files with the encoding the browser accepts", () =>
    Effect.gen(function* () {
      const { body } = yield* get("/")
      const files = [...body.toString().matchAll(/"(assets\/[^"]+)"/g)].map(([, file]) => `/${file}`)
      assert.isAtLeast(files.length, 4)
      for (const file of files) {
        const plain = yield* get(file)
        assert.strictEqual(plain.headers["cache-control"], "public, max-age=31536000, immutable", file)
        assert.isUndefined(plain.headers["content-encoding"])
        const brotli = yield* get(file, { "accept-encoding": "gzip, deflate, br" })
        assert.deepStrictEqual(
          [brotli.headers["content-encoding"], brotli.headers["vary"]],
          ["br", "accept-encoding, origin"]
        )
        assert.isTrue(brotliDecompressSync(brotli.body).equals(plain.body), file)
        const gzip = yield* get(file, { "accept-encoding": "br;q=0, gzip" })
        assert.strictEqual(gzip.headers["content-encoding"], "gzip")
        assert.isTrue(gunzipSync(gzip.body).equals(plain.body), file)
      }
      assert.strictEqual((yield* get("/assets/Main-none.js")).status, 404)
    })
  )

  it.effect("has an icon for documents that name none", () =>
    Effect.gen(function* () {
      const { headers, status } = yield* get("/favicon.ico")
      assert.strictEqual(status, 302)
      const icon = yield* get(String(headers["location"]))
      assert.deepStrictEqual([icon.status, icon.headers["content-type"]], [200, "image/svg+xml"])
    })
  )
})

/** Serves the page at `/`, and that of each stream at `/s/{slug}`, from memory: the bundle of `scripts/Web.ts`, under file names with a hash of the content. */
import { Effect, FileSystem, Option, Path, Schema } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import { RangeRequest } from "../Http.ts"

const Manifest = Schema.fromJsonString(
  Schema.Array(Schema.Struct({ url: Schema.String, file: Schema.String, type: Schema.String, etag: Schema.String }))
)

const folder = "../../.cache/web"

/** Nothing inline, and from another origin only audio: the object store has recordings. */
const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "media-src 'self' blob: https:",
  "connect-src 'self'",
  "base-uri 'self'",
  "form-action 'none'",
  "frame-ancestors 'none'"
].join("; ")

const pageHeaders = {
  "content-security-policy": policy,
  "cross-origin-opener-policy": "same-origin",
  "permissions-policy": "microphone=(self), camera=(), geolocation=()",
  "referrer-policy": "no-referrer"
}

const forever = "public, max-age=31536000, immutable"

const missing = `<!doctype html><html lang="en"><title>Spillway</title><p>The server runs; its page was not bundled.
Start it with <code>npm start</code>, or run <code>node scripts/ensure.mjs</code> before it.</p></html>`

const encodings = [
  { name: "br", end: ".br" },
  { name: "gzip", end: ".gz" }
] as const

const accepts = (header: string | undefined, encoding: string): boolean =>
  (header ?? "").split(",").some((part) => {
    const [name, weight] = part.split(";")
    return name?.trim().toLowerCase() === encoding && !/^\s*q=0(\.0*)?\s*$/.test(weight ?? "")
  })

const load = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const root = path.join(import.meta.dirname, folder)
  const [name = ""] = (yield* fs.readFileString(path.join(root, "current"))).split("\n")
  const text = yield* fs.readFileString(path.join(root, name, "manifest.json"))
  const manifest = yield* Schema.decodeEffect(Manifest)(text)
  return yield* Effect.forEach(manifest, ({ file, ...entry }) =>
    Effect.gen(function* () {
      const at = path.join(root, name, file)
      const plain = yield* fs.readFile(at)
      const packed = yield* Effect.forEach(encodings, ({ end, name }) =>
        Effect.map(fs.readFile(`${at}${end}`), (bytes) => ({ name, bytes }))
      )
      return { ...entry, plain, packed }
    })
  )
}).pipe(
  Effect.asSome,
  Effect.catch((cause) => Effect.as(Effect.logWarning("the page was not bundled", cause), Option.none()))
)

type Loaded = Effect.Success<typeof load> extends Option.Option<ReadonlyArray<infer File>> ? File : never

/** Pages are revalidated; names of other files change with their content. */
const isDocument = ({ type }: Loaded): boolean => type.startsWith("text/html")

const respond = (file: Loaded, request: HttpServerRequest.HttpServerRequest) => {
  const common = {
    etag: file.etag,
    vary: "accept-encoding, origin",
    "x-content-type-options": "nosniff",
    ...(isDocument(file) ? { "cache-control": "no-cache", ...pageHeaders } : { "cache-control": forever })
  }
  if (!RangeRequest.isNoneMatch(request.headers["if-none-match"], file.etag)) {
    return HttpServerResponse.empty({ status: 304, headers: common })
  }
  const found = file.packed.find(({ name }) => accepts(request.headers["accept-encoding"], name))
  return HttpServerResponse.uint8Array(found?.bytes ?? file.plain, {
    contentType: file.type,
    headers: found === undefined ? common : { ...common, "content-encoding": found.name }
  })
}

export const layer = HttpRouter.use(
  Effect.fnUntraced(function* (router) {
    const files = yield* load
    if (Option.isNone(files)) {
      yield* router.add("GET", "/", HttpServerResponse.html(missing))
      return
    }
    for (const file of files.value) {
      yield* router.add(
        "GET",
        file.url === "/" ? "/" : `/${file.url.slice(1)}`,
        Effect.map(HttpServerRequest.HttpServerRequest, (request) => respond(file, request))
      )
    }
    // Browsers request it for documents that name no icon, such as `/docs`.
    const icon = files.value.find(({ type }) => type === "image/svg+xml")
    if (icon !== undefined) yield* router.add("GET", "/favicon.ico", HttpServerResponse.redirect(icon.url))
  })
)

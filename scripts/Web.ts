/**
 * Bundles the page into `.cache/web`: `node scripts/Web.ts STAMP`. `scripts/ensure.mjs` runs it when the page's
 * sources have changed.
 */
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import * as zlib from "node:zlib"
import * as esbuild from "esbuild"
import { replace } from "./Bundled.ts"

const root = path.join(import.meta.dirname, "..")
const sources = path.join(root, "src/Web/Page")

const types: Readonly<Record<string, string>> = {
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".svg": "image/svg+xml",
  ".html": "text/html; charset=utf-8"
}

export interface Built {
  /** Path in requests. */
  readonly url: string
  readonly bytes: Uint8Array
}

/** HTML documents, by the path at which they are served. */
const documents = [
  { url: "/", source: "Page.html" },
  { url: "/s/:slug", source: "Stream/StreamPage.html" }
]

const hash = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("base64url").slice(0, 10)

/** Builds the files of the page. Every name but those of documents holds a hash of the content. */
export const build = async (): Promise<ReadonlyArray<Built>> => {
  const { outputFiles } = await esbuild.build({
    absWorkingDir: root,
    entryPoints: ["Main.tsx", "Record/Worklet.ts", "Page.css", "Stream/StreamPage.tsx", "Stream/StreamPage.css"].map(
      (file) => path.join(sources, file)
    ),
    outdir: "/assets",
    entryNames: "[name]-[hash]",
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    target: "es2022",
    legalComments: "none",
    tsconfig: path.join(sources, "tsconfig.json"),
    logLevel: "silent"
  })
  const icon = fs.readFileSync(path.join(sources, "Icon.svg"))
  const assets = [
    ...outputFiles.map(({ contents, path: file }) => ({ url: `/assets/${path.basename(file)}`, bytes: contents })),
    { url: `/assets/Icon-${hash(icon)}.svg`, bytes: icon }
  ]
  const pages = documents.map(({ source, url }) => {
    const html = fs
      .readFileSync(path.join(sources, source), "utf8")
      .replaceAll(/\{\{(\w+\.\w+)\}\}/g, (_, name: string) => {
        const [stem = "", end = ""] = name.split(".")
        const found = assets.find(({ url }) => url.startsWith(`/assets/${stem}-`) && url.endsWith(`.${end}`))
        if (found === undefined) throw new Error(`${source} names ${name}, which was not built`)
        // Relative to the page or its base, which a proxy can serve below a prefix.
        return found.url.slice(1)
      })
    return { url, bytes: new TextEncoder().encode(html) }
  })
  return [...assets, ...pages]
}

/** Writes each file, and its brotli and gzip versions. */
const write = (folder: string, built: ReadonlyArray<Built>) => {
  const files = built.map(({ bytes, url }) => {
    const source = documents.find((document) => document.url === url)?.source ?? url
    const file = path.basename(source)
    fs.writeFileSync(path.join(folder, file), bytes)
    fs.writeFileSync(path.join(folder, `${file}.br`), zlib.brotliCompressSync(bytes))
    fs.writeFileSync(path.join(folder, `${file}.gz`), zlib.gzipSync(bytes, { level: 9 }))
    return { url, file, type: types[path.extname(file)] ?? "application/octet-stream", etag: `"${hash(bytes)}"` }
  })
  fs.writeFileSync(path.join(folder, "manifest.json"), JSON.stringify(files))
}

if (import.meta.main)
  await replace("web", { kept: 1, what: "The page" }, async (folder) => write(folder, await build()))

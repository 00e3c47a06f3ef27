/** The page's bundle: built when its sources have changed, and always complete. */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, it } from "@effect/vitest"
import { build } from "../../scripts/Web.ts"
import { testFolder } from "../support/TestFolder.ts"

const root = path.join(import.meta.dirname, "../..")

/** A project with nothing but the page. */
const project = () => {
  const folder = testFolder()
  for (const file of [
    "scripts/ensure.mjs",
    "scripts/Web.ts",
    "scripts/Bundled.ts",
    "src/Web/Page",
    "src/Client",
    "src/Client.ts",
    "src/WavReader.ts",
    "package-lock.json",
    "tsconfig.json"
  ]) {
    fs.cpSync(path.join(root, file), path.join(folder, file), { recursive: true })
  }
  fs.symlinkSync(path.join(root, "node_modules"), path.join(folder, "node_modules"))
  const ensure = () => {
    const { status, stderr } = spawnSync(process.execPath, [path.join(folder, "scripts/ensure.mjs")], {
      encoding: "utf8"
    })
    return { status, stderr }
  }
  const current = () => fs.readFileSync(path.join(folder, ".cache/web/current"), "utf8").split("\n")[0] ?? ""
  const edit = (file: string, change: (text: string) => string) => {
    const place = path.join(folder, "src/Web/Page", file)
    fs.writeFileSync(place, change(fs.readFileSync(place, "utf8")))
  }
  return { folder, ensure, current, edit }
}

it("builds the page at the first start, and again only when a source has changed", () => {
  const { current, edit, ensure, folder } = project()
  assert.deepStrictEqual(ensure(), { status: 0, stderr: "" })
  const first = current()
  assert.deepStrictEqual(ensure(), { status: 0, stderr: "" })
  assert.strictEqual(current(), first)
  edit("Format.ts", (text) => `${text}\nexport const more = 1\n`)
  assert.strictEqual(ensure().status, 0)
  const second = current()
  assert.notStrictEqual(second, first)
  const seen = [first, second]
  for (const shared of ["WavReader.ts", "Client.ts", "Client/Messages.ts"]) {
    edit(`../../${shared}`, (text) => `${text}\nexport const more = 1\n`)
    assert.strictEqual(ensure().status, 0)
    assert.isFalse(seen.includes(current()), shared)
    seen.push(current())
  }
  assert.deepStrictEqual(fs.readdirSync(path.join(folder, ".cache/web")).toSorted(), [current(), "current"].toSorted())
})

it("leaves the folder that another process is building into", () => {
  const { ensure, folder } = project()
  const other = path.join(folder, `.cache/web/building-${process.pid}`)
  const dead = path.join(folder, `.cache/web/left-${spawnSync("true").pid}`)
  for (const place of [other, dead]) fs.mkdirSync(place, { recursive: true })
  assert.strictEqual(ensure().status, 0)
  assert.isTrue(fs.existsSync(other))
  assert.isFalse(fs.existsSync(dead))
})

it("keeps the last bundle when a source does not compile, and names the place", () => {
  const { current, edit, ensure } = project()
  ensure()
  const first = current()
  edit("Format.ts", () => "export const = 1")
  const { status, stderr } = ensure()
  assert.strictEqual(status, 1)
  assert.match(stderr, /could not be bundled: .*\n?.*Format\.ts:1:13/)
  assert.strictEqual(current(), first)
})

it("bundles nothing inline, with file names that depend only on the content", async () => {
  const [first, second] = [await build(), await build()]
  assert.deepStrictEqual(
    first.map(({ url }) => url),
    second.map(({ url }) => url)
  )
  const pages = first.filter(({ url }) => !url.startsWith("/assets/"))
  assert.deepStrictEqual(
    pages.map(({ url }) => url),
    ["/", "/s/:slug"]
  )
  const names = /^\/assets\/(Main|Worklet|Page|StreamPage|Icon)-[\w-]+\.(js|css|svg)$/
  for (const { url } of first.filter((built) => !pages.includes(built))) assert.match(url, names)
  for (const { bytes } of pages)
    assert.notMatch(new TextDecoder().decode(bytes), /<style|style=|<script(?![^>]*src=)|https?:|\{\{/)
})

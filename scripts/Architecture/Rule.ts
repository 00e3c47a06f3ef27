/** What a rule is, and the words that several rules need. */
import type { Source } from "./Source.ts"

export interface Problem {
  readonly path: string
  readonly line: number
  readonly message: string
}

/** One promise about the code. `check` sees one file, and all files for what lies between them. */
export interface Rule {
  readonly name: string
  readonly check: (source: Source, all: ReadonlyMap<string, Source>) => ReadonlyArray<Problem>
}

/** The only files that put modules together; they may import edges, adapters and parts. */
export const isComposition = (path: string): boolean =>
  path === "src/main.ts" || path === "src/Cli.ts" || path.startsWith("src/Server/")

/** Parts that belong to the outside of a module, by the end of their name: what calls it, and when. */
const edges = ["Http", "Janitor", "Socket", "Sweeper"]

/** Modules that are ports: a part that is called for one, `Storage/DiskStorage.ts`, is an adapter. */
const ports = ["Db", "Storage"]

export const inSource = (path: string): boolean => path.startsWith("src/")

/** What runs in browsers: bundled, with the DOM, without Effect. */
export const inPage = (path: string): boolean => path.startsWith("src/Web/Page/")

/** What the page and the rest share: it imports nothing, so that it runs in both. `scripts/ensure.mjs` lists it, too. */
export const sharedWithPage = ["src/WavReader.ts"]

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

/** `X/Http.ts` and the like, and the adapters of a port: `Storage/DiskStorage.ts`. */
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

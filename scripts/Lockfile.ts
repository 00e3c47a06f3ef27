/**
 * Completes package-lock.json. npm leaves out the optional packages of other platforms that the registry in use can't
 * serve, and `npm ci` then refuses the lockfile on every machine. An entry with its platform and no integrity is enough:
 * it is only ever fetched on that platform. `npm install --package-lock-only` then puts the file into npm's own order.
 *
 * Removes `engines`: npm on an old Node leaves out optional packages for a newer one, and Spillway brings its own Node.
 */
import * as fs from "node:fs"

interface Entry {
  readonly version?: string
  readonly dev?: boolean
  readonly optional?: boolean
  readonly os?: ReadonlyArray<string>
  readonly cpu?: ReadonlyArray<string>
  readonly libc?: ReadonlyArray<string>
  readonly resolved?: string
  readonly engines?: unknown
  readonly optionalDependencies?: Readonly<Record<string, string>>
}

export interface Lock {
  readonly packages: Readonly<Record<string, Entry>>
}

const systems = ["aix", "android", "darwin", "freebsd", "linux", "netbsd", "openbsd", "openharmony", "sunos", "win32"]
const processors = ["arm", "arm64", "ia32", "loong64", "mips64el", "ppc64", "riscv64", "s390x", "x64"]

const platformOf = (name: string): Pick<Entry, "os" | "cpu" | "libc"> | undefined => {
  const words = name.split(/[/-]/)
  const os = systems.find((word) => words.includes(word))
  const cpu = processors.find((word) => words.includes(word))
  if (os === undefined || cpu === undefined) return undefined
  const last = words.at(-1) ?? ""
  const libc = os === "linux" && /^(gnu|musl)/.test(last) ? { libc: [last.startsWith("musl") ? "musl" : "glibc"] } : {}
  return { cpu: [cpu], ...libc, os: [os] }
}

/** Missing entries, by path. Packages whose name does not hold their platform are left to npm. */
export const missing = (lock: Lock): Record<string, Entry> =>
  Object.fromEntries(
    Object.entries(lock.packages).flatMap(([parent, entry]) =>
      Object.entries(entry.optionalDependencies ?? {}).flatMap(([name, version]): ReadonlyArray<[string, Entry]> => {
        const platform = platformOf(name)
        const places = [`${parent}/node_modules/${name}`, `node_modules/${name}`]
        if (platform === undefined || places.some((place) => lock.packages[place] !== undefined)) return []
        const dev = entry.dev === true ? { dev: true } : {}
        return [[`node_modules/${name}`, { version, ...dev, ...platform, optional: true }]]
      })
    )
  )

const isPackage = (path: string) => path !== ""

const withoutEngines = (entry: Entry): Entry =>
  Object.fromEntries(Object.entries(entry).filter(([name]) => name !== "engines"))

/** The completed lockfile. */
export const complete = (lock: Lock): Lock => ({
  ...lock,
  packages: {
    ...Object.fromEntries(
      Object.entries(lock.packages).map(([path, entry]) => [path, isPackage(path) ? withoutEngines(entry) : entry])
    ),
    ...missing(lock)
  }
})

/** Problems of the lockfile, one line each. */
export const problems = (lock: Lock): ReadonlyArray<string> => [
  ...Object.keys(missing(lock)).map((path) => `package-lock.json lacks ${path} (node scripts/Lockfile.ts adds it)`),
  ...Object.entries(lock.packages)
    .filter(([path, entry]) => isPackage(path) && entry.engines !== undefined)
    .map(([path]) => `package-lock.json restricts the Node of ${path} (node scripts/Lockfile.ts removes it)`),
  ...Object.entries(lock.packages)
    .filter(([, entry]) => entry.resolved !== undefined)
    .map(
      ([path]) => `package-lock.json names the registry's host for ${path} (npm config omit-lockfile-registry-resolved)`
    )
]

if (import.meta.main) {
  const lock: Lock = JSON.parse(fs.readFileSync("package-lock.json", "utf8"))
  fs.writeFileSync("package-lock.json", `${JSON.stringify(complete(lock), null, 2)}\n`)
}

/** Variables that change nothing: typing errors, settings of earlier releases, and empty ones. */
import { ConfigProvider, Effect, Schema } from "effect"

export const prefix = "SPILLWAY"

/** What variables may be called. */
export interface Names {
  readonly known: ReadonlyArray<string>
  /** Former settings, with the values that they are now fixed at. */
  readonly removed: ReadonlyMap<string, string>
}

/** Nothing reads the variable. `nearest`: the setting with the most similar name. `fixed`: the value of a former setting. */
export class UnknownSetting extends Schema.TaggedError<UnknownSetting>()("UnknownSetting", {
  env: Schema.String,
  nearest: Schema.optionalKey(Schema.String),
  fixed: Schema.optionalKey(Schema.String)
}) {
  override get message() {
    if (this.fixed !== undefined)
      return `${this.env} was removed and changes nothing: its value is now fixed at ${this.fixed}. Delete the variable.`
    const guess = this.nearest === undefined ? "" : ` Did you mean ${this.nearest}?`
    return `${this.env} is no setting and changes nothing.${guess}`
  }
}

/** Levenshtein distance: letters to change, add or remove. */
const distance = (a: string, b: string): number => {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at)
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1]
    for (const [j, other] of [...b].entries()) {
      const changed = (row[j] ?? 0) + (letter === other ? 0 : 1)
      next.push(Math.min(changed, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1))
    }
    row = next
  }
  return row.at(-1) ?? 0
}

/** Names that differ in more than a third of the letters are not similar. */
const nearest = (env: string, known: ReadonlyArray<string>): string | undefined => {
  const most = Math.ceil((env.length - prefix.length) / 3)
  const [first] = known
    .map((name) => ({ name, distance: distance(env, name) }))
    .filter(({ distance }) => distance <= most)
    .sort((a, b) => a.distance - b.distance)
  return first?.name
}

/** Variables that Kubernetes sets in every container for a service named `spillway`. */
const ofOrchestrator = (env: string) => /_SERVICE_(HOST|PORT)(_|$)/.test(env)

/** Names of variables that are set and begin with these parts. */
const namesUnder = (
  provider: ConfigProvider.ConfigProvider,
  path: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<string>, ConfigProvider.SourceError> =>
  Effect.gen(function* () {
    const node = yield* provider.load(path)
    const own = (node?.value ?? "") === "" ? [] : [path.join("_")]
    if (node?._tag !== "Record") return own
    const below = yield* Effect.forEach([...node.keys].sort(), (key) => namesUnder(provider, [...path, key]))
    return [...own, ...below.flat()]
  })

const describe = (env: string, { known, removed }: Names): UnknownSetting => {
  const fixed = removed.get(env)
  if (fixed !== undefined) return new UnknownSetting({ env, fixed })
  const name = nearest(env, known)
  return new UnknownSetting(name === undefined ? { env } : { env, nearest: name })
}

/** Sorted by name. Empty variables count as not set. */
export const unknown = Effect.fnUntraced(function* (names: Names) {
  const provider = yield* ConfigProvider.ConfigProvider
  const found = yield* Effect.orElseSucceed(namesUnder(provider, [prefix]), () => [])
  return found.filter((env) => !names.known.includes(env) && !ofOrchestrator(env)).map((env) => describe(env, names))
})

/** A deployment tool passes an empty value for a variable that is not defined. */
const empty = Effect.fnUntraced(function* ({ known }: Names) {
  const provider = yield* ConfigProvider.ConfigProvider
  const isEmpty = (env: string) =>
    Effect.orElseSucceed(
      Effect.map(provider.load([env]), (node) => node?.value === ""),
      () => false
    )
  return yield* Effect.filter(known, isEmpty)
})

/** Lines about what is set without effect. */
export const warnings = Effect.fnUntraced(function* (names: Names) {
  const lines = (yield* unknown(names)).map(({ message }) => message)
  const found = yield* empty(names)
  if (found.length === 0) return lines
  const says = found.length === 1 ? "is empty, which counts as not set" : "are empty, which counts as not set"
  return [...lines, `${found.join(", ")} ${says}.`]
})

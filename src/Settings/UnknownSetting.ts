/** Variables that look like settings and are none: most are typing errors, and would change nothing without a word. */
import { ConfigProvider, Effect, Schema } from "effect"

const prefix = "SPILLWAY"

/** Nothing reads the variable. `nearest`: the setting that it may have been meant to be. */
export class UnknownSetting extends Schema.TaggedError<UnknownSetting>()("UnknownSetting", {
  env: Schema.String,
  nearest: Schema.optionalKey(Schema.String)
}) {
  override get message() {
    const guess = this.nearest === undefined ? "" : ` Did you mean ${this.nearest}?`
    return `${this.env} is no setting and changes nothing.${guess}`
  }
}

/** How many letters are to be changed, added or left out to make one text the other (Levenshtein). */
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

/** A guess that changes more than a third of the name's own letters is none. */
const nearest = (env: string, known: ReadonlyArray<string>): string | undefined => {
  const most = Math.ceil((env.length - prefix.length) / 3)
  const [first] = known
    .map((name) => ({ name, distance: distance(env, name) }))
    .filter(({ distance }) => distance <= most)
    .sort((a, b) => a.distance - b.distance)
  return first?.name
}

/** What Kubernetes tells every container of a service that has this name; `SPILLWAY_PORT_80_TCP` has numbers and is not listed. */
const ofOrchestrator = (env: string) => /_SERVICE_(HOST|PORT)(_|$)/.test(env)

/** Names that are set, and begin with these parts. */
const namesUnder = (
  provider: ConfigProvider.ConfigProvider,
  path: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<string>, ConfigProvider.SourceError> =>
  Effect.gen(function* () {
    const node = yield* provider.load(path)
    const own = node?.value === undefined ? [] : [path.join("_")]
    if (node?._tag !== "Record") return own
    const below = yield* Effect.forEach([...node.keys].sort(), (key) => namesUnder(provider, [...path, key]))
    return [...own, ...below.flat()]
  })

/** Sorted by name. Empty variables count as not set. */
export const unknown = Effect.fnUntraced(function* (known: ReadonlyArray<string>) {
  const provider = yield* ConfigProvider.ConfigProvider
  const names = yield* Effect.orElseSucceed(namesUnder(provider, [prefix]), () => [])
  return names
    .filter((env) => !known.includes(env) && !ofOrchestrator(env))
    .map((env) => {
      const name = nearest(env, known)
      return new UnknownSetting(name === undefined ? { env } : { env, nearest: name })
    })
})

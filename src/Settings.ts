/** Settings from the environment: declared beside what they configure, read once at start, every mistake reported at once. */
import {
  ByteSize,
  Config,
  ConfigProvider,
  Context,
  Duration,
  Effect,
  Layer,
  Option,
  Redacted,
  Result,
  Schema
} from "effect"
import { type Names, prefix, unknown, UnknownSetting, warnings } from "./Settings/UnknownSetting.ts"

export { unknown, warnings } from "./Settings/UnknownSetting.ts"

/** One environment variable. `parse` returns the value, or what was found instead. */
export interface Setting<out A> {
  /** Of a constant, the name without `SPILLWAY_`. */
  readonly env: string
  readonly doc: string
  readonly expected: string
  /** In the syntax of the variable; `undefined` without a default. */
  readonly defaultText: string | undefined
  readonly secret: boolean
  /** Fixed at its default: no environment variable changes it, and no table shows it. */
  readonly constant?: true
  readonly parse: (raw: string | undefined) => Result.Result<A, string>
}

/** The configuration that a record of settings is read into. */
export type Values<S> = { readonly [K in keyof S]: S[K] extends Setting<infer A> ? A : never }

/** A configuration class with its settings and its layer. */
export interface Group {
  readonly key: string
  readonly settings: Readonly<Record<string, Setting<unknown>>>
  readonly layer: Layer.Layer<never, SettingsInvalid>
}

type Provided<G> = G extends { readonly layer: Layer.Layer<infer A, infer _E, infer _R> } ? A : never

const Problem = Schema.Struct({ env: Schema.String, found: Schema.String, expected: Schema.String })
type Problem = typeof Problem.Type

/** The environment of the process, in which empty variables can be told from absent ones. */
export const layerEnvironment = ConfigProvider.layer(ConfigProvider.fromEnv({ preserveEmptyStrings: true }))

/** Settings with invalid values. `found` never contains a secret. Unknown variables are listed, but are not a failure. */
export class SettingsInvalid extends Schema.TaggedError<SettingsInvalid>()("SettingsInvalid", {
  problems: Schema.Array(Problem),
  unknown: Schema.optionalKey(Schema.Array(UnknownSetting))
}) {
  override get message() {
    const problems = this.problems.map((p) => `${p.env}: expected ${p.expected}, found ${p.found}`)
    return [...problems, ...(this.unknown ?? []).map(({ message }) => message)].join("\n")
  }
}

const setting = <A>(
  options: Omit<Setting<A>, "parse" | "secret" | "defaultText"> & {
    readonly secret?: boolean
    readonly mistake?: (raw: string) => string
    readonly default: string | undefined
    readonly absent?: A
    readonly decode: (raw: string) => Option.Option<A>
  }
): Setting<A> => ({
  env: options.env,
  doc: options.doc,
  expected: options.expected,
  defaultText: options.default,
  secret: options.secret ?? false,
  parse: (raw) => {
    const text = raw ?? options.default
    if (text === undefined)
      return options.absent === undefined ? Result.fail("nothing") : Result.succeed(options.absent)
    const hidden = () => "another value (not shown)"
    const shown = options.mistake ?? (options.secret === true ? hidden : JSON.stringify)
    return Option.match(options.decode(text), { onNone: () => Result.fail(shown(text)), onSome: Result.succeed })
  }
})

/** Replaces the defaults of constants, by name: tests shrink bounds, commands are less patient. Not from the environment. */
export const Constants = Context.Reference<Readonly<Record<string, string>>>("spillway/Settings/Constants", {
  defaultValue: () => ({})
})

/** A value that no operator has a reason to change. `SPILLWAY_` and its name in a variable is reported as removed. */
export function constant<A>(setting: Setting<A>): Setting<A> {
  return { ...setting, constant: true }
}

const fromSchema =
  <A>(schema: Schema.Codec<A, string>) =>
  (raw: string) =>
    Schema.decodeUnknownOption(schema)(raw)

/** A duration such as `500 millis`, `30 seconds` or `2 hours`; greater than zero. */
export function duration(env: string, standard: string, doc: string): Setting<Duration.Duration> {
  return setting({
    env,
    doc,
    expected: "a duration such as `500 millis`, `30 seconds` or `2 hours`",
    default: standard,
    decode: (raw) =>
      Option.filter(fromSchema(Schema.DurationFromString)(raw), (d) => Duration.isFinite(d) && Duration.toMillis(d) > 0)
  })
}

/** A size such as `64 KiB` or `10 GiB`, in bytes; at least 1. */
export function bytes(env: string, standard: string, doc: string): Setting<number> {
  return setting({
    env,
    doc,
    expected: "a size such as `64 KiB`, `4 MiB` or `10 GiB`",
    default: standard,
    decode: (raw) =>
      ByteSize.fromString(raw).pipe(
        Option.flatMap(ByteSize.toNumber),
        Option.filter((n) => n >= 1)
      )
  })
}

/** A whole number in a range, bounds included. */
export function integer(
  env: string,
  standard: number,
  range: { readonly min: number; readonly max: number },
  doc: string
): Setting<number> {
  return setting({
    env,
    doc,
    expected: `a whole number from ${range.min} to ${range.max}`,
    default: String(standard),
    decode: (raw) =>
      /^-?\d+$/.test(raw)
        ? Option.filter(Option.some(Number(raw)), (n) => n >= range.min && n <= range.max)
        : Option.none()
  })
}

/** Text that is not empty. */
export function text(env: string, standard: string, doc: string): Setting<string> {
  return setting({
    env,
    doc,
    expected: "a text that is not empty",
    default: standard,
    decode: fromSchema(Schema.NonEmptyString)
  })
}

export function choice<const A extends string>(
  env: string,
  standard: A,
  words: ReadonlyArray<A>,
  doc: string
): Setting<A> {
  return setting({
    env,
    doc,
    expected: `one of ${words.join(", ")}`,
    default: standard,
    decode: (raw) => Option.fromNullishOr(words.find((word) => word === raw))
  })
}

/** Optional text. `expected` describes its form, `accepts` checks it. */
export function optionalText(
  env: string,
  expected: string,
  accepts: (raw: string) => boolean,
  doc: string
): Setting<Option.Option<string>> {
  return setting({
    env,
    doc,
    expected,
    default: undefined,
    absent: Option.none(),
    decode: (raw) => (accepts(raw) ? Option.some(Option.some(raw)) : Option.none())
  })
}

/** An optional secret. `mistake` describes an invalid value without revealing it. */
export function optionalSecret(
  env: string,
  expected: string,
  accepts: (raw: string) => boolean,
  doc: string,
  mistake?: (raw: string) => string
): Setting<Option.Option<Redacted.Redacted>> {
  return setting({
    env,
    doc,
    expected,
    secret: true,
    ...(mistake === undefined ? {} : { mistake }),
    default: undefined,
    absent: Option.none(),
    decode: (raw) => (accepts(raw) ? Option.some(Option.some(Redacted.make(raw))) : Option.none())
  })
}

const textOf = (s: Setting<unknown>) =>
  s.constant === true
    ? Effect.map(Constants, (texts) => texts[s.env])
    : Config.String(s.env).pipe(
        Config.option,
        Config.map((value) => Option.getOrUndefined(Option.filter(value, (text) => text !== "")))
      )

const problemOf = (s: Setting<unknown>) =>
  Effect.gen(function* () {
    const parsed = s.parse(yield* textOf(s))
    return Result.isFailure(parsed) ? [{ env: s.env, found: parsed.failure, expected: s.expected }] : []
  }).pipe(
    Effect.catchTag("ConfigError", () =>
      Effect.succeed([{ env: s.env, found: "no readable text", expected: s.expected }])
    )
  )

const valueOf = <A>(s: Setting<A>): Effect.Effect<A, SettingsInvalid> =>
  Effect.flatMap(
    Effect.catchTag(textOf(s), "ConfigError", () => Effect.succeed(undefined)),
    (text) =>
      Result.match(s.parse(text), {
        onFailure: (found) => new SettingsInvalid({ problems: [{ env: s.env, found, expected: s.expected }] }),
        onSuccess: Effect.succeed
      })
  )

/**
 * The layer of one configuration class. Fails with the first mistake; `layerAll` reports all of them. `conflicts` returns
 * the values that are valid alone and not together.
 */
export function layer<Self, const S extends Readonly<Record<string, Setting<unknown>>>>(
  key: Context.Key<Self, Values<S>>,
  settings: S,
  conflicts: (values: Values<S>) => ReadonlyArray<Problem> = () => []
): Layer.Layer<Self, SettingsInvalid> {
  return Layer.effect(
    key,
    Effect.flatMap(read(settings), (values) => {
      const problems = conflicts(values)
      return problems.length > 0 ? new SettingsInvalid({ problems }) : Effect.succeed(values)
    })
  )
}

/** All mistakes in the settings of these groups, as the start reports them. */
export const problemsOf = Effect.fnUntraced(function* (groups: ReadonlyArray<Group>) {
  const found = yield* Effect.forEach(groups, (group) =>
    Effect.flatMap(Effect.forEach(Object.values(group.settings), problemOf), (single) => {
      if (single.some((problems) => problems.length > 0)) return Effect.succeed(single.flat())
      const built = Effect.as(Effect.scoped(Layer.build(group.layer)), [])
      return Effect.catchTag(built, "SettingsInvalid", ({ problems }) => Effect.succeed(problems))
    })
  )
  return found.flat()
})

export function read<const S extends Readonly<Record<string, Setting<unknown>>>>(
  settings: S
): Effect.Effect<Values<S>, SettingsInvalid>
export function read(settings: Readonly<Record<string, Setting<unknown>>>) {
  return Effect.all(Object.fromEntries(Object.entries(settings).map(([name, s]) => [name, valueOf(s)])))
}

/** The module that a group configures: `Storage` for `spillway/Storage/StorageConfig`, `Node` for `spillway/NodeConfig`. */
export function moduleOf({ key }: Pick<Group, "key">): string {
  const [, module = "", part] = key.split("/")
  return part === undefined ? module.replace(/Config$/, "") : module
}

export function publicOf({ settings }: Pick<Group, "settings">): ReadonlyArray<Setting<unknown>> {
  return Object.values(settings).filter((setting) => setting.constant !== true)
}

/** The names of all settings of these groups, and of the variables that their constants were, with their fixed values. */
export function namesOf(groups: ReadonlyArray<Pick<Group, "settings">>): Names {
  const constants = groups.flatMap(({ settings }) => Object.values(settings)).filter((setting) => setting.constant)
  return {
    known: groups.flatMap(publicOf).map(({ env }) => env),
    removed: new Map(constants.map(({ defaultText = "nothing", env }) => [`${prefix}_${env}`, defaultText]))
  }
}

/** Logs a warning about variables that look like settings and are not among the known ones, and about empty ones. */
export function layerWarnings(names: Names) {
  return Layer.effectDiscard(
    Effect.flatMap(warnings(names), (found) => Effect.forEach(found, (line) => Effect.logWarning(line)))
  )
}

/** All configuration of a program. Checks every setting first, so that one run reports all mistakes and unknown variables. */
export function layerAll<G extends ReadonlyArray<Group>>(
  names: Names,
  ...groups: G
): Layer.Layer<Provided<G[number]>, SettingsInvalid>
export function layerAll(names: Names, ...groups: ReadonlyArray<Group>): Layer.Layer<never, SettingsInvalid> {
  const checked = Effect.gen(function* () {
    const problems = yield* problemsOf(groups)
    if (problems.length > 0) return yield* new SettingsInvalid({ problems, unknown: yield* unknown(names) })
    return groups.reduce<Layer.Layer<never, SettingsInvalid>>(
      (all, group) => Layer.merge(all, group.layer),
      Layer.empty
    )
  })
  return Layer.unwrap(checked)
}

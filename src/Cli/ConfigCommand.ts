/** `spillway config`: prints the settings in effect. */
import { Config, Console, Effect, Option, Schema } from "effect"
import { Command } from "effect/cli"
import * as Settings from "../Settings.ts"
import { table } from "./Table.ts"

/** Some settings are invalid; the table shows which. */
export class ConfigInvalid extends Schema.TaggedError<ConfigInvalid>()("ConfigInvalid", {
  envs: Schema.Array(Schema.String)
}) {
  override get message() {
    return `The server would not start: ${this.envs.join(", ")} can't be used.`
  }
}

const rowOf = Effect.fnUntraced(function* (setting: Settings.Setting<unknown>, expected: string | undefined) {
  const raw = yield* Config.String(setting.env).pipe(
    Config.option,
    Effect.map(Option.filter((text) => text !== "")),
    Effect.orElseSucceed(() => Option.none<string>())
  )
  const shown = Option.match(raw, {
    onNone: () => setting.defaultText ?? "not set",
    onSome: (text) => (setting.secret ? "set" : text)
  })
  const from = Option.isSome(raw) ? "environment" : "default"
  return [setting.env, shown, expected === undefined ? from : `expected ${expected}`]
})

/** One table, with the settings of each module under its name. `check` is what the start checks of valid settings. */
export function configCommand<E>(groups: ReadonlyArray<Settings.Group>, check: Effect.Effect<void, E>) {
  const settings = groups.flatMap((group) =>
    Settings.publicOf(group).map((setting) => ({ setting, module: Settings.moduleOf(group) }))
  )
  return Command.make(
    "config",
    {},
    Effect.fnUntraced(function* () {
      const problems = new Map((yield* Settings.problemsOf(groups)).map(({ env, expected }) => [env, expected]))
      const rows = yield* Effect.forEach(settings, ({ setting }) => rowOf(setting, problems.get(setting.env)))
      const [header = "", ...lines] = table(["SETTING", "VALUE", "FROM"], rows).split("\n")
      const byModule = Map.groupBy(lines.entries(), ([at]) => settings[at]?.module)
      const sections = [...byModule].map(([module, of]) => [`\n${module}`, ...of.map(([, line]) => line)].join("\n"))
      yield* Console.log([header, ...sections].join("\n"))
      for (const line of yield* Settings.warnings(Settings.namesOf(groups))) yield* Console.error(line)
      if (problems.size > 0) return yield* new ConfigInvalid({ envs: [...problems.keys()] })
      yield* check
    })
  ).pipe(Command.withDescription("Print the settings that the server would run with; secrets as `set`"))
}

/** `spillway config`: prints the settings in effect. */
import { Config, Console, Effect, Option, Result, Schema } from "effect"
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

const rowOf = Effect.fnUntraced(function* (setting: Settings.Setting<unknown>) {
  const raw = yield* Config.String(setting.env).pipe(
    Config.option,
    Effect.map(Option.filter((text) => text !== "")),
    Effect.orElseSucceed(() => Option.none<string>())
  )
  const parsed = setting.parse(Option.getOrUndefined(raw))
  const shown = Option.match(raw, {
    onNone: () => setting.defaultText ?? "not set",
    onSome: (text) => (setting.secret ? "set" : text)
  })
  const from = Option.isSome(raw) ? "environment" : "default"
  return {
    env: setting.env,
    valid: Result.isSuccess(parsed),
    row: [setting.env, shown, Result.isSuccess(parsed) ? from : `expected ${setting.expected}`]
  }
})

/** One table, with the settings of each module under its name. */
export function configCommand(groups: ReadonlyArray<Pick<Settings.Group, "key" | "settings">>) {
  const settings = groups.flatMap((group) =>
    Settings.publicOf(group).map((setting) => ({ setting, module: Settings.moduleOf(group) }))
  )
  return Command.make(
    "config",
    {},
    Effect.fnUntraced(function* () {
      const rows = yield* Effect.forEach(settings, ({ setting }) => rowOf(setting))
      const [header = "", ...lines] = table(
        ["SETTING", "VALUE", "FROM"],
        rows.map(({ row }) => row)
      ).split("\n")
      const byModule = Map.groupBy(lines.entries(), ([at]) => settings[at]?.module)
      const sections = [...byModule].map(([module, of]) => [`\n${module}`, ...of.map(([, line]) => line)].join("\n"))
      yield* Console.log([header, ...sections].join("\n"))
      for (const { message } of yield* Settings.unknown(Settings.namesOf(groups))) yield* Console.error(message)
      const envs = rows.filter(({ valid }) => !valid).map(({ env }) => env)
      if (envs.length > 0) return yield* new ConfigInvalid({ envs })
    })
  ).pipe(Command.withDescription("Print the settings that the server would run with; secrets as `set`"))
}

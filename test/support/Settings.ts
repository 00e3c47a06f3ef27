/** Settings of a test, and other values for constants: in layers, and in processes. */
import { ConfigProvider, Layer } from "effect"
import * as Path from "node:path"
import { pathToFileURL } from "node:url"
import { CliConfig } from "../../src/Cli/CliConfig.ts"
import * as Configuration from "../../src/Server/Configuration.ts"
import * as Settings from "../../src/Settings.ts"

type Environment = Readonly<Record<string, string>>

const { removed } = Settings.namesOf([...Configuration.groups, CliConfig])

/** A constant under the name of a variable would keep its default. */
const checked = (env: Environment): Environment => {
  const former = Object.keys(env).find((name) => removed.has(name))
  if (former !== undefined) throw new Error(`${former} is no setting: name the constant without SPILLWAY_`)
  return env
}

/** For configuration layers that are built below it. */
export const environment = (env: Environment): Layer.Layer<never> =>
  Layer.merge(
    ConfigProvider.layer(ConfigProvider.fromEnvRecord({ ...checked(env) })),
    Layer.succeed(Settings.Constants, env)
  )

const preload = pathToFileURL(Path.join(import.meta.dirname, "ConstantsPreload.ts")).href

/** The environment of a process. Constants get their values from a module that is loaded before the program. */
export const processEnvironment = (env: Environment): Environment => {
  const [constants = [], settings = []] = [true, false].map((isConstant) =>
    Object.entries(checked(env)).filter(([name]) => removed.has(`SPILLWAY_${name}`) === isConstant)
  )
  if (constants.length === 0) return env
  return {
    ...Object.fromEntries(settings),
    TEST_CONSTANTS: JSON.stringify(Object.fromEntries(constants)),
    NODE_OPTIONS: `${process.env["NODE_OPTIONS"] ?? ""} --import=${preload}`.trim()
  }
}

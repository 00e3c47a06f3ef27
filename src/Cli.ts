/** Composes the command line: `npm run spillway -- COMMAND`. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Cause, Console, Effect, Layer, Option } from "effect"
import { CliError, Command } from "effect/cli"
import { CliConfig } from "./Cli/CliConfig.ts"
import { configCommand } from "./Cli/ConfigCommand.ts"
import { ConversationsCommand } from "./Cli/ConversationsCommand.ts"
import * as DeleteCommands from "./Cli/DeleteCommands.ts"
import { ExportCommand } from "./Cli/Fetch/ExportCommand.ts"
import { FetchCommand } from "./Cli/Fetch/FetchCommand.ts"
import { KeysCommand } from "./Cli/KeysCommand.ts"
import { PrecacheCommand } from "./Cli/Fetch/PrecacheCommand.ts"
import { Screen } from "./Cli/Screen.ts"
import * as StoreCommands from "./Cli/Store/StoreCommands.ts"
import { StreamCommand } from "./Cli/Stream/StreamCommand.ts"
import { layerLocal } from "./Cli/Target.ts"
import { TranscriptCommand } from "./Cli/Fetch/TranscriptCommand.ts"
import { UrlsCommand } from "./Cli/Fetch/UrlsCommand.ts"
import { WebhooksCommand } from "./Cli/WebhooksCommand.ts"
import * as Configuration from "./Server/Configuration.ts"
import { HttpConfig } from "./Http/HttpConfig.ts"
import { KeysConfig } from "./Auth/KeysConfig.ts"
import { NodeConfig } from "./NodeConfig.ts"
import * as Settings from "./Settings.ts"

const local = Effect.gen(function* () {
  const { host, port } = yield* HttpConfig
  return { host, port, dataDir: (yield* NodeConfig).dataDir, adminKey: (yield* KeysConfig).adminKey }
})

const settings = Layer.mergeAll(CliConfig.layer, layerLocal(local)).pipe(
  Layer.provide(Layer.mergeAll(HttpConfig.layer, KeysConfig.layer, NodeConfig.layer))
)

const connected = Layer.mergeAll(settings, Screen.layer, NodeHttpClient.layerUndici)

const directly = (flags: { readonly bucket: Option.Option<string> }) =>
  Layer.unwrap(
    Effect.map(
      Effect.promise(() => import("./Server/DirectAccess.ts")),
      ({ layer }) => layer(flags)
    )
  )

const spillway = Command.make("spillway").pipe(
  Command.withDescription("Send, list, fetch, import and delete audio of a Spillway server, and manage its keys"),
  Command.withSubcommands([
    Command.provide(StreamCommand, connected),
    Command.provide(ConversationsCommand, connected),
    Command.provide(FetchCommand, connected),
    Command.provide(ExportCommand, connected),
    Command.provide(UrlsCommand, connected),
    Command.provide(TranscriptCommand, connected),
    Command.provide(PrecacheCommand, connected),
    Command.provide(DeleteCommands.DeleteCommand, connected),
    Command.provide(DeleteCommands.PurgeCommand, connected),
    Command.provide(KeysCommand, connected),
    Command.provide(WebhooksCommand, connected),
    Command.provide(StoreCommands.ImportCommand, directly),
    Command.provide(StoreCommands.GcCommand, () => directly({ bucket: Option.none() })),
    configCommand([...Configuration.groups, CliConfig], Configuration.checkDatabaseUrl)
  ])
)

/** Expected failures print one line, defects their whole cause. Usage errors are already printed with the help. */
const report = (cause: Cause.Cause<Error>) => {
  const error = cause.reasons.find((reason) => reason._tag === "Fail")?.error
  if (error === undefined) return Cause.hasInterruptsOnly(cause) ? Effect.void : Console.error(Cause.pretty(cause))
  return CliError.isCliError(error) ? Effect.void : Console.error(`spillway: ${error.message}`)
}

Command.run(spillway, { version: "0.1.0" }).pipe(
  Effect.tapCause(report),
  Effect.provide([NodeServices.layer, Settings.layerEnvironment]),
  NodeRuntime.runMain({ disableErrorReporting: true })
)

/** Which server the commands talk to, and with which key. */
import { Context, Effect, FileSystem, Layer, Option, Path, Redacted, Schema } from "effect"
import { CliConfig } from "./CliConfig.ts"

/** No key was given, and there is none on this machine. */
export class NoKey extends Schema.TaggedError<NoKey>()("NoKey", { file: Schema.String }) {
  override get message() {
    return `No key: give one with --key or SPILLWAY_KEY. (On the server's own machine it is read from ${this.file}.)`
  }
}

/** What is known of a server on the same machine. */
export class LocalServer extends Context.Service<
  LocalServer,
  {
    readonly host: string
    readonly port: number
    readonly dataDir: string
    readonly adminKey: Option.Option<Redacted.Redacted>
  }
>()("spillway/Cli/Target/LocalServer") {}

export interface Target {
  /** Without a slash at its end. */
  readonly url: string
  readonly key: Redacted.Redacted
}

/** Addresses to listen on that nobody can connect to. */
const loopback: Readonly<Record<string, string>> = { "0.0.0.0": "127.0.0.1", "::": "[::1]" }

const keyInFile = Effect.fnUntraced(function* (file: string) {
  const fs = yield* FileSystem.FileSystem
  const text = yield* Effect.option(fs.readFileString(file))
  return Option.map(text, (text) => Redacted.make(text.trim()))
})

/** What the flags say, else the environment, else the server of this machine. */
export const target = Effect.fnUntraced(function* (flags: {
  readonly url: Option.Option<string>
  readonly key: Option.Option<Redacted.Redacted>
}) {
  const config = yield* CliConfig
  const local = yield* LocalServer
  const path = yield* Path.Path
  const file = path.join(local.dataDir, "admin-key")
  const url = flags.url.pipe(
    Option.orElse(() => config.url),
    Option.getOrElse(() => `http://${loopback[local.host] ?? local.host}:${local.port}`)
  )
  const given = flags.key.pipe(
    Option.orElse(() => config.key),
    Option.orElse(() => local.adminKey)
  )
  const key = Option.isSome(given) ? given : yield* keyInFile(file)
  if (Option.isNone(key)) return yield* new NoKey({ file })
  return { url: url.replace(/\/+$/, ""), key: key.value } satisfies Target
})

/** For the composition, which knows where the server's own settings are. */
export const layerLocal = <E, R>(local: Effect.Effect<LocalServer["Service"], E, R>) => Layer.effect(LocalServer, local)

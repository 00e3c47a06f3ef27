/** The server and key that a command uses. */
import { Context, Effect, FileSystem, Layer, Option, Path, Redacted, Schema } from "effect"
import * as Telemetry from "../Telemetry.ts"
import { CliConfig } from "./CliConfig.ts"

export class MissingKey extends Schema.TaggedError<MissingKey>()("MissingKey", { file: Schema.String }) {
  override get message() {
    return `No key: give one with --key or SPILLWAY_KEY. (On the server's own machine it is read from ${this.file}.)`
  }
}

/** Settings of a server on the same machine. */
export class LocalServer extends Context.Service<
  LocalServer,
  {
    readonly host: string
    readonly port: number
    readonly dataDir: string
    readonly adminKey: Option.Option<Redacted.Redacted>
  }
>()("spillway/Cli/Target/LocalServer") {}

export interface Server {
  /** Without a trailing slash. */
  readonly url: string
  readonly key: Redacted.Redacted
}

export interface Target extends Server {
  /** For printed commands: the flags given, and the key as a shell expression. */
  readonly again: { readonly flags: ReadonlyArray<string>; readonly key: string }
}

const quoted = (text: string): string =>
  /^[\w.:/@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`

/** A `spillway` command line to copy, with the same server and key. */
export function hint({ again }: Pick<Target, "again">, command: string): string {
  return ["npm run spillway --", command, ...again.flags].join(" ")
}

export function curl({ again, url }: Target, path: string): string {
  return `curl -H "Authorization: Bearer ${again.key}" ${quoted(url + path)}`
}

/** Wildcard listen addresses, and the address to connect to instead. */
const loopback: Readonly<Record<string, string>> = { "0.0.0.0": "127.0.0.1", "::": "[::1]" }

const keyInFile = Effect.fnUntraced(function* (file: string) {
  const fs = yield* FileSystem.FileSystem
  const text = yield* Effect.option(fs.readFileString(file))
  return Option.map(text, (text) => Redacted.make(text.trim()))
})

/** Taken from the flags, else from the environment, else from this machine's server. */
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
    Option.getOrElse(() => `http://${loopback[local.host] ?? local.host}:${local.port}`),
    (url) => url.replace(/\/+$/, "")
  )
  // A terminal already shows the key that was typed; logs and pipes never see it.
  const shown = (key: Redacted.Redacted) => (attended ? quoted(Redacted.value(key)) : "$SPILLWAY_KEY")
  const attended = yield* Telemetry.Interactive
  const found = flags.key.pipe(
    Option.map((key) => ({ key, text: shown(key) })),
    Option.orElse(() => Option.map(config.key, (key) => ({ key, text: "$SPILLWAY_KEY" }))),
    Option.orElse(() => Option.map(local.adminKey, (key) => ({ key, text: "$SPILLWAY_ADMIN_KEY" })))
  )
  const { key, text } = Option.isSome(found)
    ? found.value
    : yield* Option.match(yield* keyInFile(file), {
        onNone: () => new MissingKey({ file }),
        onSome: (key) => Effect.succeed({ key, text: `$(cat ${quoted(file)})` })
      })
  const again = [
    ...(Option.isSome(flags.url) ? ["--url", quoted(url)] : []),
    ...(Option.isSome(flags.key) ? ["--key", text.startsWith("$") ? `"${text}"` : text] : [])
  ]
  return { url, key, again: { flags: again, key: text } } satisfies Target
})

export function layerLocal<E, R>(local: Effect.Effect<LocalServer["Service"], E, R>) {
  return Layer.effect(LocalServer, local)
}

/** The server and key that a command uses. */
import { Context, Effect, FileSystem, Layer, Option, Path, Redacted, Schema } from "effect"
import * as Telemetry from "../Telemetry.ts"
import { systemReason } from "../SystemReason.ts"
import { CliConfig } from "./CliConfig.ts"

export class MissingKey extends Schema.TaggedError<MissingKey>()("MissingKey", { file: Schema.String }) {
  override get message() {
    return `No key: give one with --key or SPILLWAY_KEY. (On the server's own machine it is read from ${this.file}.)`
  }
}

export class UnreadableKey extends Schema.TaggedError<UnreadableKey>()("UnreadableKey", {
  file: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `${this.file} can't be read (${this.reason}): run the command as the server's user, or give a key with --key or SPILLWAY_KEY.`
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
  /** The user that requests act for, instead of the key's. */
  readonly uid?: string
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

/** A data directory is often closed to others, who then can't see whether it holds a key. */
const keyInFile = Effect.fnUntraced(function* (file: string) {
  const fs = yield* FileSystem.FileSystem
  const text = yield* fs.readFileString(file).pipe(
    Effect.catchReason("PlatformError", "NotFound", () => new MissingKey({ file })),
    Effect.catchTag("PlatformError", (error) => new UnreadableKey({ file, reason: systemReason(error) }))
  )
  return Redacted.make(text.trim())
})

/** Taken from the flags, else from the environment, else from this machine's server. */
export const target = Effect.fnUntraced(function* (flags: {
  readonly url: Option.Option<string>
  readonly key: Option.Option<Redacted.Redacted>
  readonly uid?: Option.Option<string>
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
    : { key: yield* keyInFile(file), text: `$(cat ${quoted(file)})` }
  const uid = Option.getOrUndefined(flags.uid ?? Option.none())
  const again = [
    ...(uid === undefined ? [] : ["--uid", uid]),
    ...(Option.isSome(flags.url) ? ["--url", quoted(url)] : []),
    ...(Option.isSome(flags.key) ? ["--key", text.startsWith("$") ? `"${text}"` : text] : [])
  ]
  return { url, key, ...(uid === undefined ? {} : { uid }), again: { flags: again, key: text } } satisfies Target
})

export function layerLocal<E, R>(local: Effect.Effect<LocalServer["Service"], E, R>) {
  return Layer.effect(LocalServer, local)
}

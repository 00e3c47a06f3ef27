/** Flags of every command that connects to a server. */
import { Flag } from "effect/cli"

export const server = {
  url: Flag.String("url").pipe(
    Flag.withDescription("The server; else SPILLWAY_URL, else this machine's"),
    Flag.withMetavar("URL"),
    Flag.optional
  ),
  key: Flag.Redacted("key").pipe(
    Flag.withDescription("The key; else SPILLWAY_KEY, else this machine's admin key"),
    Flag.withMetavar("KEY"),
    Flag.optional
  )
}

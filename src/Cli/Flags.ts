/** Flags of every command that connects to a server. */
import { Flag } from "effect/cli"

export const server = {
  url: Flag.String("url").pipe(
    Flag.withDescription("Server URL; default: SPILLWAY_URL, then this machine's server"),
    Flag.withMetavar("URL"),
    Flag.filter(
      (url) => /^https?:\/\//.test(url) && URL.canParse(url),
      (url) => `--url ${url}: expected a URL such as https://audio.example.org`
    ),
    Flag.optional
  ),
  key: Flag.Redacted("key").pipe(
    Flag.withDescription("Access key; default: SPILLWAY_KEY, then this machine's admin key"),
    Flag.withMetavar("KEY"),
    Flag.optional
  )
}

/** Flags of the commands that connect to a server. */
import { Schema } from "effect"
import { Flag } from "effect/cli"
import { Id } from "../Id.ts"

/** A user's id. */
export const uid = Flag.String("uid").pipe(
  Flag.filter(Schema.is(Id), () => "1 to 128 characters of A-Z a-z 0-9 . _ -, not . or .."),
  Flag.withMetavar("UID")
)

/** The user whose audio a command reads or deletes. */
export const user = uid.pipe(
  Flag.withDescription("The user, with a key of the scope service, such as the admin key; default: the key's user"),
  Flag.optional
)

export const server = {
  url: Flag.String("url").pipe(
    Flag.withDescription("Server URL; default: SPILLWAY_URL, then this machine's server"),
    Flag.withMetavar("URL"),
    Flag.filter(
      (url) => /^https?:\/\//.test(url) && URL.canParse(url),
      () => "a URL such as https://audio.example.org"
    ),
    Flag.optional
  ),
  key: Flag.Redacted("key").pipe(
    Flag.withDescription("Access key; default: SPILLWAY_KEY, then this machine's admin key"),
    Flag.withMetavar("KEY"),
    Flag.optional
  )
}

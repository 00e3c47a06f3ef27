/** `spillway keys create|list|revoke`: manages access keys. */
import { Console, DateTime, Effect, Option, Schema } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { HttpClientRequest } from "effect/http"
import { Instant } from "../Instant.ts"
import * as Client from "./Client.ts"
import * as Flags from "./Flags.ts"
import { Screen } from "./Screen.ts"
import { table } from "./Table.ts"
import * as Target from "./Target.ts"
import * as Format from "./Format.ts"

const stored = {
  id: Schema.String,
  uid: Schema.String,
  scopes: Schema.Array(Schema.String),
  expires_at: Schema.NullOr(Schema.DateTimeUtcFromString)
}
const NewKey = Schema.Struct({ ...stored, key: Schema.String })
const KeyList = Schema.Struct({
  keys: Schema.Array(Schema.Struct({ ...stored, created_at: Schema.DateTimeUtcFromString }))
})

const create = Command.make(
  "create",
  {
    uid: Argument.String("uid").pipe(Argument.withDescription("The user that the key belongs to")),
    scope: Flag.Literals("scope", ["admin", "service"]).pipe(
      Flag.withDescription("`service` may act for any user, `admin` may manage keys; can be given twice"),
      Flag.between(0, 2)
    ),
    expires: Flag.String("expires").pipe(
      Flag.withSchema(Instant),
      Flag.withDescription("When the key expires: 2030-01-31 (from its start, UTC) or 2030-01-31T09:30:00Z"),
      Flag.withMetavar("DATE"),
      Flag.optional
    ),
    ...Flags.server
  },
  Effect.fnUntraced(function* ({ expires, scope, uid, ...flags }) {
    const expires_at = Option.getOrNull(Option.map(expires, DateTime.formatIso))
    const request = HttpClientRequest.post("/v1/keys").pipe(
      HttpClientRequest.bodyJsonUnsafe({ uid, scopes: scope, expires_at })
    )
    const { id, key } = yield* Client.json(yield* Target.target(flags), request, NewKey)
    const { print, result } = yield* Screen
    yield* result(key)
    yield* print(`The key is shown only once. Its id is ${id}.`)
  })
).pipe(Command.withDescription("Create a key for a user; it is shown only once"))

const list = Command.make(
  "list",
  Flags.server,
  Effect.fnUntraced(function* (flags) {
    const { keys } = yield* Client.json(yield* Target.target(flags), HttpClientRequest.get("/v1/keys"), KeyList)
    const rows = keys.map((key) => [
      key.id,
      key.uid,
      key.scopes.join(", "),
      Format.date(key.created_at),
      key.expires_at === null ? "never" : Format.date(key.expires_at)
    ])
    yield* Console.log(table(["ID", "USER", "SCOPES", "CREATED (UTC)", "EXPIRES (UTC)"], rows))
  })
).pipe(Command.withDescription("List the valid keys"))

const revoke = Command.make(
  "revoke",
  { id: Argument.String("id").pipe(Argument.withDescription("The key's id, from `keys list`")), ...Flags.server },
  Effect.fnUntraced(function* ({ id, ...flags }) {
    yield* Client.sendOk(yield* Target.target(flags), HttpClientRequest.delete(`/v1/keys/${encodeURIComponent(id)}`))
    yield* Console.log(`${id} is revoked.`)
  })
).pipe(Command.withDescription("Revoke a key, effective immediately"))

export const KeysCommand = Command.make("keys").pipe(
  Command.withDescription("Manage access keys (needs a key with the scope admin)"),
  Command.withSubcommands([create, list, revoke])
)

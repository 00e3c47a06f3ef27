/** `spillway webhooks listen`: prints events as they happen, and forwards them to a server on the developer's machine. */
import { Clock, DateTime, Duration, Effect, Option, Schema } from "effect"
import { Command, Flag } from "effect/cli"
import { HttpClient, HttpClientRequest } from "effect/http"
import * as Client from "./Client.ts"
import { CliConfig } from "./CliConfig.ts"
import * as Flags from "./Flags.ts"
import * as Reconnect from "./Reconnect.ts"
import { Screen } from "./Screen.ts"
import * as Target from "./Target.ts"

const path = "/v1/webhook-listeners"

/** The time limit of a webhook. */
const forwardLimit = Duration.seconds(30)

const Listener = Schema.Struct({ id: Schema.String, secret: Schema.String })
const Event = Schema.Struct({
  id: Schema.String,
  type: Schema.String,
  headers: Schema.Record(Schema.String, Schema.String),
  body: Schema.String
})
const Events = Schema.Struct({ events: Schema.Array(Event) })

/** Sends an event to `url`. Returns the outcome in words. */
const forward = Effect.fnUntraced(function* (url: string, { body, headers }: typeof Event.Type) {
  const client = yield* HttpClient.HttpClient
  const began = yield* Clock.currentTimeMillis
  const request = HttpClientRequest.post(url).pipe(
    HttpClientRequest.bodyText(body, "application/json"),
    HttpClientRequest.setHeaders(headers)
  )
  return yield* client.execute(request).pipe(
    Effect.tap((response) => Effect.ignore(response.text)),
    Effect.timeout(forwardLimit),
    Effect.flatMap(({ status }) =>
      Effect.map(Clock.currentTimeMillis, (now) => `${status} in ${Math.round(now - began)} ms`)
    ),
    Effect.catch((error) => Effect.succeed(error._tag === "TimeoutError" ? "no response in 30 s" : "no connection"))
  )
})

const listen = Command.make(
  "listen",
  {
    forward: Flag.String("forward").pipe(
      Flag.withDescription("Where each event is sent as a webhook would send it, such as http://127.0.0.1:3000/hook"),
      Flag.withMetavar("URL"),
      Flag.filter(
        (url) => /^https?:\/\//.test(url) && URL.canParse(url),
        () => "a URL such as http://127.0.0.1:3000/hook"
      ),
      Flag.optional
    ),
    types: Flag.String("types").pipe(
      Flag.withDescription("Types of events, separated by commas; default: all of them"),
      Flag.withMetavar("TYPES"),
      Flag.optional
    ),
    all: Flag.Boolean("all").pipe(
      Flag.withDescription("Events of all users, with a key of the scope admin"),
      Flag.withDefault(false)
    ),
    uid: Flags.user,
    ...Flags.server
  },
  Effect.fnUntraced(function* ({ all, forward: to, types, ...flags }) {
    const target = yield* Target.target(flags)
    const config = yield* CliConfig
    const { print, result } = yield* Screen
    const wanted = Option.map(types, (text) => text.split(",").map((type) => type.trim()))
    const payload = { global: all, ...(Option.isSome(wanted) ? { types: wanted.value } : {}) }
    const { id, secret } = yield* Effect.acquireRelease(
      Client.json(target, HttpClientRequest.post(path).pipe(HttpClientRequest.bodyJsonUnsafe(payload)), Listener),
      (listener) => Effect.ignore(Client.send(target, HttpClientRequest.delete(`${path}/${listener.id}`)))
    )
    yield* print(`Listening until Ctrl-C. The secret of the signatures is ${secret}`)
    let received: ReadonlyArray<string> = []
    while (true) {
      const request = HttpClientRequest.post(`${path}/${id}/poll`).pipe(HttpClientRequest.bodyJsonUnsafe({ received }))
      const { events } = yield* Reconnect.retrying(Client.json(target, request, Events), config)
      for (const event of events) {
        const outcome = Option.isSome(to) ? yield* forward(to.value, event) : event.body
        const time = DateTime.formatIso(yield* DateTime.now).slice(11, 19)
        yield* result(`${time}  ${event.type}  ${event.id}  ${outcome}`)
      }
      received = events.map((event) => event.id)
    }
  }, Effect.scoped)
).pipe(Command.withDescription("Print events, and forward them to a server on this machine"))

export const WebhooksCommand = Command.make("webhooks").pipe(
  Command.withDescription("Receive events during development"),
  Command.withSubcommands([listen])
)

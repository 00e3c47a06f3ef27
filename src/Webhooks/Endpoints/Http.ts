/** `/v1/webhooks`: endpoints. */
import { DateTime, Duration, Effect, Layer, Option, Redacted } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { Principal, requireScope } from "../../Auth.ts"
import { DecryptionFailed } from "../../Encryption.ts"
import { Problem, ProblemRules, rule } from "../../Http.ts"
import { WebhookClient } from "../WebhookClient.ts"
import { DeliveryRows } from "../Deliveries/DeliveryRows.ts"
import * as Signature from "../Signature.ts"
import * as TargetUrl from "../TargetUrl.ts"
import { type EndpointInfo, EndpointsApi } from "./Api.ts"
import { allTypes, type Endpoint } from "./Endpoint.ts"
import * as EventTypes from "./EventTypes.ts"
import { EndpointRows, type Fields, TooManyEndpoints } from "./EndpointRows.ts"
import { disabledProblem, isActive, notFound, ownedEndpoint, owner } from "./OwnedEndpoint.ts"

const defaultOverlap = Duration.days(1)

const info = ({ audioSeconds, createdAt, disabled, isEnabled, rate, uid, ...endpoint }: Endpoint): EndpointInfo => ({
  ...endpoint,
  uid: uid ?? null,
  enabled: isEnabled,
  disabled_at: disabled === undefined ? null : DateTime.fromDateUnsafe(disabled.at),
  disabled_reason: disabled?.reason ?? null,
  audio_seconds: audioSeconds ?? null,
  rate: rate ?? null,
  created_at: DateTime.fromDateUnsafe(createdAt)
})

const secretInfo = (secret: Redacted.Redacted) => ({
  secret: Redacted.value(secret),
  public_key: Signature.publicKeyOf(secret) ?? null
})

/** Headers that an owner adds to requests. More are refused. */
const maxHeaders = 20
const maxValueLength = 2_048

/** Those that a connection or the sender sets. */
const reserved = [
  "connection",
  "content-encoding",
  "content-length",
  "content-type",
  "expect",
  "host",
  "keep-alive",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "user-agent"
]
const reservedPrefixes = ["proxy-", "webhook-"]

interface HeaderMistake {
  readonly name: string
  readonly message: string
}

const mistakeOf = (name: string, value: string): string | undefined => {
  const lower = name.toLowerCase()
  if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$/.test(name)) return `\`${name}\` is not the name of a header`
  if (reserved.includes(lower) || reservedPrefixes.some((prefix) => lower.startsWith(prefix)))
    return `\`${name}\` is set by the server`
  if (value.length > maxValueLength || !/^[\t\u0020-\u007e]*$/.test(value))
    return `the value of \`${name}\` is not at most ${maxValueLength} characters of ASCII`
  return undefined
}

function headerMistakes(headers: Readonly<Record<string, string>>): ReadonlyArray<HeaderMistake> {
  const names = Object.keys(headers)
  if (names.length > maxHeaders) return [{ name: "", message: `there are more than ${maxHeaders} headers` }]
  const lower = names.map((name) => name.toLowerCase())
  return Object.entries(headers).flatMap(([name, value], index) => {
    const message = lower.indexOf(name.toLowerCase()) < index ? `\`${name}\` is repeated` : mistakeOf(name, value)
    return message === undefined ? [] : [{ name, message }]
  })
}

/** By lower-case name. */
function normalized(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value.trim()]))
}

const checkHeaders = (headers: Readonly<Record<string, string>>) => {
  const errors = headerMistakes(headers).map(({ message, name }) => ({ path: ["body", "headers", name], message }))
  if (errors.length === 0) return Effect.succeed(normalized(headers))
  const detail = errors.map(({ message }) => message).join("; ")
  return Effect.fail(Problem.unprocessable("webhook-headers", "Headers are not allowed", detail, errors))
}

const group = HttpApiBuilder.group(
  EndpointsApi,
  "webhooks",
  Effect.fn(function* (handlers) {
    const rows = yield* EndpointRows
    const deliveries = yield* DeliveryRows
    const client = yield* WebhookClient
    const { answer } = yield* ProblemRules
    const found = <A>(result: Option.Option<A>) =>
      Option.match(result, { onNone: () => Effect.fail(notFound), onSome: Effect.succeed })

    return handlers.handleAll({
      list: Effect.fnUntraced(function* ({ query: { global } }) {
        if (global === "true") yield* requireScope("admin")
        const { uid } = yield* Principal
        const endpoints = yield* answer(rows.list(global === "true" ? undefined : uid))
        return { webhooks: endpoints.map(info), types: EventTypes.names() }
      }),
      create: Effect.fnUntraced(function* ({ payload }) {
        const { global = false, headers = {}, signature = "v1", types = allTypes, url } = payload
        if (global) yield* requireScope("admin")
        const { uid } = yield* Principal
        const fields: Fields = {
          url,
          types: yield* EventTypes.check(types),
          description: payload.description ?? "",
          isEnabled: payload.enabled ?? true,
          audioSeconds: payload.audio_seconds ?? undefined,
          rate: payload.rate ?? undefined,
          headers: yield* checkHeaders(headers)
        }
        const { endpoint, secret } = yield* answer(
          Effect.andThen(client.check(url), rows.create(global ? undefined : uid, fields, signature))
        )
        return { webhook: info(endpoint), ...secretInfo(secret) }
      }),
      get: Effect.fnUntraced(function* ({ params: { id } }) {
        return info(yield* answer(ownedEndpoint(rows, id)))
      }),
      update: Effect.fnUntraced(function* ({ params: { id }, payload }) {
        const { audio_seconds: audio, description, enabled, headers, rate, types, url } = payload
        const changes: Partial<Fields> = {
          ...(url === undefined ? {} : { url }),
          ...(types === undefined ? {} : { types: yield* EventTypes.check(types) }),
          ...(description === undefined ? {} : { description }),
          ...(enabled === undefined ? {} : { isEnabled: enabled }),
          ...(audio === undefined ? {} : { audioSeconds: audio ?? undefined }),
          ...(rate === undefined ? {} : { rate: rate ?? undefined }),
          ...(headers === undefined ? {} : { headers: yield* checkHeaders(headers) })
        }
        if (url !== undefined) yield* answer(client.check(url))
        return info(yield* found(yield* answer(rows.update(yield* owner, id, changes))))
      }),
      remove: Effect.fnUntraced(function* ({ params: { id } }) {
        if (!(yield* answer(rows.remove(yield* owner, id)))) return yield* notFound
      }),
      rotate: Effect.fnUntraced(function* ({ params: { id }, payload }) {
        const seconds = payload?.overlap_seconds
        const overlap = seconds === undefined ? defaultOverlap : Duration.seconds(seconds)
        return secretInfo(yield* found(yield* answer(rows.rotate(yield* owner, id, overlap))))
      }),
      test: Effect.fnUntraced(function* ({ params: { id } }) {
        const endpoint = yield* answer(ownedEndpoint(rows, id))
        if (!isActive(endpoint)) return yield* disabledProblem
        return { event_id: yield* answer(deliveries.test(id, endpoint.uid)) }
      })
    })
  })
)

const rules = ProblemRules.layerOf(
  rule(TargetUrl.UrlRefused, (refused) =>
    Problem.unprocessable(`webhook-url-${refused.rule}`, "The URL is not allowed", refused.message, [
      { path: ["body", "url"], message: `The rule \`${refused.rule}\`: ${refused.message}` }
    ])
  ),
  rule(TooManyEndpoints, (error) =>
    Problem.conflict("too-many-webhooks", "The limit of webhooks is reached", error.message)
  ),
  rule(DecryptionFailed, (error) =>
    Problem.conflict("webhook-secret", "The secret of the webhook can't be decrypted", error.message)
  )
)

export const layer = HttpApiBuilder.layer(EndpointsApi).pipe(Layer.provide(group), Layer.merge(rules))

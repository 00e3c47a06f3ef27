/** The parts of the responses about webhooks that the page uses. */
import * as Json from "../Json.ts"

export const webhook = Json.record({
  id: Json.text,
  /** Null: it receives the events of all users. */
  uid: Json.nullable(Json.text),
  url: Json.text,
  types: Json.list(Json.text),
  description: Json.text,
  enabled: Json.flag,
  disabled_at: Json.nullable(Json.text),
  disabled_reason: Json.nullable(Json.text),
  audio_seconds: Json.nullable(Json.number),
  rate: Json.nullable(Json.number)
})
export type Webhook = Json.Decoded<typeof webhook>

/** `types`: the names of all types of events. */
export const webhooks = Json.record({ webhooks: Json.list(webhook), types: Json.list(Json.text) })

const secretFields = { secret: Json.text, public_key: Json.nullable(Json.text) }
export const secret = Json.record(secretFields)
export type Secret = Json.Decoded<typeof secret>

export const created = Json.record({ webhook, ...secretFields })

export const health = Json.record({
  state: Json.text,
  success_rate: Json.nullable(Json.number),
  p50_millis: Json.nullable(Json.number),
  p95_millis: Json.nullable(Json.number),
  pending: Json.number,
  next_attempt_at: Json.nullable(Json.text),
  failures: Json.number,
  failing_since: Json.nullable(Json.text)
})
export type Health = Json.Decoded<typeof health>

const delivery = Json.record({
  event_id: Json.text,
  type: Json.text,
  state: Json.text,
  attempts: Json.number,
  status: Json.nullable(Json.number),
  error: Json.nullable(Json.text),
  created_at: Json.text,
  next_attempt_at: Json.nullable(Json.text)
})
export type Delivery = Json.Decoded<typeof delivery>

export const deliveries = Json.record({ deliveries: Json.list(delivery), next: Json.nullable(Json.text) })

const attempt = Json.record({
  number: Json.number,
  at: Json.text,
  millis: Json.number,
  request: Json.text,
  status: Json.nullable(Json.number),
  response: Json.nullable(Json.text),
  body: Json.nullable(Json.text),
  error: Json.nullable(Json.text)
})
export type Attempt = Json.Decoded<typeof attempt>

export const details = Json.record({
  delivery,
  attempts: Json.list(attempt),
  payload: Json.nullable(Json.text)
})
export type Details = Json.Decoded<typeof details>

/** `is_complete` false: there are more than the server sends at once. */
export const replayed = Json.record({ deliveries: Json.number, is_complete: Json.flag })
export type Replayed = Json.Decoded<typeof replayed>

export const sentTest = Json.record({ event_id: Json.text })

export function pathOf(id: string): string {
  return `/v1/webhooks/${encodeURIComponent(id)}`
}

/** Sends one event to an endpoint, and judges what came back. */
import { Clock, Duration, Effect, Random, Schema } from "effect"
import { Protection } from "../../Encryption.ts"
import { Breakers } from "../Breakers.ts"
import { type Post, type Response, SendFailed } from "../WebhookClient.ts"
import { type Credentials, liveSecrets } from "../Endpoints/Endpoint.ts"
import * as Ids from "../Ids.ts"
import * as Signature from "../Signature.ts"
import * as RetryPolicy from "./RetryPolicy.ts"
import type { DueDelivery, Result, Turn } from "./TurnRows.ts"

/** Time of a whole request. */
const requestLimit = Duration.seconds(30)

/** When there are more requests than the bounds allow, the next one is sent this much later. */
const saturatedPause = Duration.seconds(1)

/** Nothing was sent: there are too many requests, or the breaker is open, for so long. */
export class Postponed extends Schema.TaggedError<Postponed>()("Postponed", { millis: Schema.Finite }) {}

export interface Sent {
  readonly result: Result
  readonly isGone: boolean
  /** None if nothing was sent. */
  readonly isFailure: boolean | undefined
  readonly response: Response | undefined
}

/** PostgreSQL stores no NUL character in text. */
const storable = (text: string) => text.replaceAll("\0", "\uFFFD")

const headOf = (headers: Readonly<Record<string, string>>) =>
  Object.entries(headers)
    .map(([name, value]) => `${name}: ${value}`)
    .join("\n")

export const make = Effect.gen(function* () {
  const breakers = yield* Breakers
  const protection = yield* Protection
  const clock = yield* Clock.Clock

  /** None if it can't be read. */
  const payloadOf = ({ body, owner, sealed }: DueDelivery) => {
    if (sealed === undefined || owner === undefined)
      return Effect.succeed(body === undefined ? undefined : Buffer.from(body))
    return Effect.catchTag(protection.decrypt(owner, sealed), "DecryptionFailed", () => Effect.succeed(undefined))
  }

  const postSigned = Effect.fnUntraced(function* (
    post: Post,
    turn: Pick<Turn, "endpoint" | "url">,
    held: Credentials,
    message: { readonly id: string; readonly body: Uint8Array }
  ) {
    const at = clock.currentTimeMillisUnsafe()
    const timestamp = Math.floor(at / 1_000)
    const headers = {
      "content-type": "application/json",
      "user-agent": "spillway",
      ...Signature.headersOf({ ...message, timestamp }, liveSecrets(held, at))
    }
    const request = { headers: { ...held.headers, ...headers }, body: message.body, limit: requestLimit }
    const sent = yield* breakers.execute(post(request), { key: turn.endpoint, classify: Breakers.classify }).pipe(
      Effect.catchTag("SendFailed", Effect.succeed),
      Effect.catchTag("Saturated", () => new Postponed({ millis: Duration.toMillis(saturatedPause) })),
      Effect.catchTag("CircuitBreakerError", ({ reason }) => {
        const millis = reason._tag === "CircuitOpen" ? Duration.toMillis(reason.retryAfter) : 1_000
        return new Postponed({ millis })
      })
    )
    const own = Object.fromEntries(Object.keys(held.headers).map((name) => [name, "(set)"]))
    // What is after the path can be a secret of the receiver, as its own headers are.
    const head = `POST ${turn.url.replace(/[?#].*$/s, "")}\n${headOf({ ...own, ...headers })}`
    return { at, head, sent, millis: clock.currentTimeMillisUnsafe() - at }
  })

  const unsent = (turn: Turn, delivery: DueDelivery, error: string): Sent => ({
    isGone: false,
    isFailure: undefined,
    response: undefined,
    result: {
      endpoint: turn.endpoint,
      token: turn.token,
      event: delivery.event,
      state: "expired",
      due: null,
      attempts: delivery.attempts,
      made: delivery.made,
      at: clock.currentTimeMillisUnsafe(),
      millis: 0,
      request: null,
      status: null,
      head: null,
      body: null,
      error
    }
  })

  return {
    post: postSigned,
    send: Effect.fnUntraced(function* (
      post: Post,
      turn: Turn,
      held: Credentials,
      delivery: DueDelivery
    ): Effect.fn.Return<Sent, Postponed> {
      if (delivery.isErased) return unsent(turn, delivery, "the event was erased")
      if (delivery.isExpired) return unsent(turn, delivery, "the event is stale, and was not sent")
      const body = yield* payloadOf(delivery)
      if (body === undefined) return unsent(turn, delivery, "the event can't be decrypted")
      const { at, head, millis, sent } = yield* postSigned(post, turn, held, { id: Ids.eventId(delivery.event), body })
      const response = sent instanceof SendFailed ? undefined : sent
      const answer =
        response === undefined ? undefined : { status: response.status, retryAfter: response.headers["retry-after"] }
      const now = clock.currentTimeMillisUnsafe()
      const verdict = RetryPolicy.judge(answer, delivery.attempts, { now, random: yield* Random.next })
      const reason = sent instanceof SendFailed ? sent.reason : `the endpoint answered ${sent.status}`
      const isFailure = verdict.state !== "delivered"
      return {
        isGone: verdict.state === "dead" && verdict.isGone,
        isFailure,
        response,
        result: {
          endpoint: turn.endpoint,
          token: turn.token,
          event: delivery.event,
          state: verdict.state,
          due: verdict.state === "pending" ? verdict.dueIn : null,
          attempts: delivery.attempts + 1,
          made: delivery.made + 1,
          at,
          millis: Math.round(response?.millis ?? millis),
          request: storable(head),
          status: response?.status ?? null,
          head: response === undefined ? null : storable(headOf(response.headers)),
          body: response === undefined ? null : storable(response.body),
          error: isFailure ? storable(reason) : null
        }
      }
    })
  }
})

/** Messages from clients, by HTTP and by sockets: their text, and the rate of their addresses. */
import { Clock, Context, Duration, Effect, Layer, Metric, Option } from "effect"
import { Chat, type Visit } from "../Chat.ts"
import type { DbError } from "../Db.ts"
import { Clients } from "../Http.ts"
import { ChatConfig } from "./ChatConfig.ts"
import { type Message, mistakeOf } from "./Message.ts"
import { type PostError, TooFast } from "./Post.ts"
import * as Protocol from "./Protocol.ts"

export class Sender extends Context.Service<
  Sender,
  {
    /** The text is trimmed and valid. */
    post(
      visit: Visit & { readonly uid: string },
      address: string,
      message: { readonly text: string; readonly nonce: string | undefined }
    ): Effect.Effect<Message, DbError | PostError>
    /** Posts a frame of a socket, and returns the answer. */
    receive(visit: Visit, address: string, frame: string): Effect.Effect<string>
  }
>()("spillway/Chat/Sender") {
  static readonly layer = Layer.effect(
    Sender,
    Effect.suspend(() => make)
  )
}

const postedTotal = Metric.counter("spillway_chat_messages_total", {
  description: "Messages that were posted on this node",
  incremental: true
})
const rejectedTotal = Metric.counter("spillway_chat_rejected_total", {
  description: "Messages that were rejected on this node, by reason",
  incremental: true
})

const reasons = { ChatDisabled: "disabled", Banned: "banned" } as const

const reasonOf = (error: PostError) => (error._tag === "TooFast" ? error.limit : reasons[error._tag])

const make = Effect.gen(function* () {
  const config = yield* ChatConfig
  const chat = yield* Chat
  const clock = yield* Clock.Clock
  const attempts = new Clients.Rate(config.attemptsPerMinute, () => clock.currentTimeMillisUnsafe())

  const post: Sender["Service"]["post"] = Effect.fnUntraced(function* (visit, address, message) {
    const wait = attempts.take(address)
    if (wait > 0) return yield* new TooFast({ limit: "address", wait: Duration.millis(wait) })
    return yield* chat.post(visit, message)
  })

  const counted: Sender["Service"]["post"] = (...args) =>
    post(...args).pipe(
      Effect.tap(() => Metric.update(postedTotal, 1)),
      Effect.tapErrorTag(["ChatDisabled", "Banned", "TooFast"], (error) =>
        Metric.update(Metric.withAttributes(rejectedTotal, { reason: reasonOf(error) }), 1)
      )
    )

  return Sender.of({
    post: counted,
    receive: Effect.fnUntraced(function* (visit, address, frame) {
      const found = Protocol.decodePost(frame)
      if (Option.isNone(found)) {
        const detail = 'Expected {"type":"post","nonce":"1 to 64 printable ASCII characters","text":"…"}'
        return Protocol.rejected(Protocol.nonceOf(frame), { code: "bad-request", detail })
      }
      const { nonce } = found.value
      const reject = (code: string, detail: string, retryAfter?: number) =>
        Protocol.rejected(nonce, { code, detail, ...(retryAfter === undefined ? {} : { retryAfter }) })
      const text = found.value.text.trim()
      const mistake = mistakeOf(text)
      if (mistake !== undefined) return reject("bad-message", mistake)
      const { uid } = visit
      if (uid === undefined) return reject("unauthorized", "Posting needs a key: open the socket with one.")
      return yield* counted({ ...visit, uid }, address, { text, nonce }).pipe(
        Effect.map(({ id }) => Protocol.accepted(nonce, id)),
        Effect.catchTags({
          ChatDisabled: ({ message }) => Effect.succeed(reject("chat-disabled", message)),
          Banned: ({ message }) => Effect.succeed(reject("banned", message)),
          TooFast: ({ limit, message, seconds }) => Effect.succeed(reject(limitCodes[limit], message, seconds)),
          DbUnavailable: () => Effect.succeed(reject("database-unavailable", "The database does not respond.", 1)),
          DbTimeout: () => Effect.succeed(reject("database-timeout", "The database is too slow.", 1)),
          DbBusy: () => Effect.succeed(reject("too-many-requests", "The user has too many requests at once.", 1))
        })
      )
    })
  })
})

/** Codes of problems, by the limit that a message exceeds. */
export const limitCodes = {
  "slow-mode": "slow-mode",
  user: "too-many-messages",
  address: "too-many-messages-of-address"
} as const

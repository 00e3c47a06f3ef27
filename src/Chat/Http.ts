/** `/api/v1/studio/streams/{slug}/chat/…`. */
import { DateTime, Effect, Layer, Option } from "effect"
import { HttpServerRequest } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import { Principal, Visitor } from "../Auth.ts"
import { Chat, NoMessage, NotBannable, NotPermitted, type Visit } from "../Chat.ts"
import { Clients, Problem, ProblemRules, rule } from "../Http.ts"
import { noStream } from "../Streams.ts"
import { ChatApi } from "./Api.ts"
import { type Moderator, TooManyModerators } from "./MemberRows.ts"
import { type Ban, type Message, mistakeOf } from "./Message.ts"
import { MessageRows } from "./MessageRows.ts"
import { Banned, ChatDisabled, TooFast } from "./Post.ts"
import * as Protocol from "./Protocol.ts"
import { Rooms } from "./Rooms.ts"
import { limitCodes, Sender } from "./Sender.ts"
import * as ChatSocket from "./Socket.ts"

const defaultLimit = 50

const noModerator = Problem.notFound("The user is no moderator of the stream.")
const noBan = Problem.notFound("The user is neither banned nor timed out.")

const timeOf = (date: Date | undefined) => (date === undefined ? null : DateTime.fromDateUnsafe(date))

const banInfo = ({ at, by, reason, uid, until }: Ban) => ({
  uid,
  until: timeOf(until),
  reason,
  banned_by: by,
  banned_at: DateTime.fromDateUnsafe(at)
})

const moderatorInfo = ({ addedAt, permissions, uid }: Moderator) => ({
  uid,
  permissions,
  added_at: DateTime.fromDateUnsafe(addedAt)
})

/** One row more than the limit was read. */
const pageOf = <A>(rows: ReadonlyArray<A>, limit: number) => ({
  page: rows.slice(0, limit),
  last: rows.length > limit ? rows[limit - 1] : undefined
})

const messagesOf = (rows: ReadonlyArray<Message>, limit: number) => {
  const { last, page } = pageOf(rows, limit)
  const none = { before_id: null, after_id: null, from_offset_ms: null }
  return { last, info: { ...none, messages: page.map(Protocol.infoOf), total: null, has_more: last !== undefined } }
}

interface Query {
  readonly before_id?: number
  readonly after_id?: number
  readonly broadcast?: number
  readonly from_offset_ms?: number
  readonly to_offset_ms?: number
  readonly limit?: number
}

/** Fields that can't be used together. */
const conflictOf = ({ before_id, broadcast, from_offset_ms, to_offset_ms }: Query) => {
  if (broadcast !== undefined)
    return before_id === undefined
      ? undefined
      : Problem.badQuery("before_id", "A broadcast is read from `from_offset_ms` on")
  if (from_offset_ms !== undefined) return Problem.badQuery("from_offset_ms", "Expected with `broadcast` only")
  return to_offset_ms === undefined ? undefined : Problem.badQuery("to_offset_ms", "Expected with `broadcast` only")
}

const stateOf = Effect.fnUntraced(function* (visit: Visit) {
  const chat = yield* Chat
  const { permissions, role, stream, uid } = visit
  const ban = Option.map(yield* chat.ban(visit), ({ reason, until }) => ({ until: timeOf(until), reason }))
  return {
    enabled: stream.chatEnabled,
    slow_mode_seconds: stream.slowModeSeconds,
    you: uid === undefined ? null : { uid, role, permissions, ban: Option.getOrNull(ban) }
  }
})

const forAudience = HttpApiBuilder.group(
  ChatApi,
  "chat",
  Effect.fn(function* (handlers) {
    const chat = yield* Chat
    const { answer } = yield* ProblemRules
    const enter = Effect.fnUntraced(function* (slug: string) {
      const reader = Option.getOrUndefined(yield* Visitor)
      return yield* Effect.flatMap(answer(chat.enter(slug, reader)), (found) =>
        Option.isSome(found) ? Effect.succeed(found.value) : noStream
      )
    })

    return handlers.handleAll({
      messages: Effect.fnUntraced(function* ({ params: { slug }, query }) {
        const conflict = conflictOf(query)
        if (conflict !== undefined) return yield* conflict
        const visit = yield* enter(slug)
        const { after_id: after, before_id: before, broadcast, limit = defaultLimit } = query
        if (broadcast === undefined) {
          const rows = yield* answer(chat.page(visit, { before, after, limit: limit + 1 }))
          const { info, last } = messagesOf(rows, limit)
          return { ...info, [after === undefined ? "before_id" : "after_id"]: last?.id ?? null }
        }
        const { from_offset_ms: from = 0, to_offset_ms: to } = query
        const replay = { broadcast, from, to, after: after ?? 0, limit: limit + 1 }
        const { info, last } = messagesOf(yield* answer(chat.replay(visit, replay)), limit)
        return { ...info, after_id: last?.id ?? null, from_offset_ms: last?.offset ?? null }
      }),
      state: Effect.fnUntraced(function* ({ params: { slug } }) {
        return yield* answer(Effect.provideService(stateOf(yield* enter(slug)), Chat, chat))
      })
    })
  })
)

const forUsers = HttpApiBuilder.group(
  ChatApi,
  "moderation",
  Effect.fn(function* (handlers) {
    const chat = yield* Chat
    const sender = yield* Sender
    const { answer } = yield* ProblemRules
    const enter = Effect.fnUntraced(function* (slug: string) {
      const principal = yield* Principal
      const found = yield* answer(chat.enter(slug, principal))
      return Option.isSome(found) ? { ...found.value, uid: principal.uid } : yield* noStream
    })

    return handlers.handleAll({
      post: Effect.fnUntraced(function* ({ params: { slug }, payload: { nonce, text } }) {
        const visit = yield* enter(slug)
        const trimmed = text.trim()
        const mistake = mistakeOf(trimmed)
        if (mistake !== undefined)
          return yield* Problem.unprocessable("bad-message", "The message can't be posted", mistake, [
            { path: ["body", "text"], message: mistake }
          ])
        const address = Clients.addressOf(yield* HttpServerRequest.HttpServerRequest)
        return Protocol.infoOf(yield* answer(sender.post(visit, address, { text: trimmed, nonce })))
      }),
      remove: Effect.fnUntraced(function* ({ params: { id, slug } }) {
        yield* answer(chat.remove(yield* enter(slug), id))
      }),
      settings: Effect.fnUntraced(function* ({ params: { slug }, payload: { enabled, slow_mode_seconds: slow } }) {
        const visit = yield* enter(slug)
        const changes = {
          ...(enabled === undefined ? {} : { chatEnabled: enabled }),
          ...(slow === undefined ? {} : { slowModeSeconds: slow })
        }
        const stream = yield* answer(chat.changeSettings(visit, changes))
        if (Option.isNone(stream)) return yield* noStream
        return yield* answer(Effect.provideService(stateOf({ ...visit, stream: stream.value }), Chat, chat))
      }),
      moderators: Effect.fnUntraced(function* ({ params: { slug }, query: { after, limit = defaultLimit } }) {
        const rows = yield* answer(chat.moderators(yield* enter(slug), { after, limit: limit + 1 }))
        const { last, page } = pageOf(rows, limit)
        return { moderators: page.map(moderatorInfo), next: last?.uid ?? null }
      }),
      putModerator: Effect.fnUntraced(function* ({ params: { slug, uid }, payload: { permissions } }) {
        const unique = [...new Set(permissions)]
        return moderatorInfo(yield* answer(chat.putModerator(yield* enter(slug), uid, unique)))
      }),
      removeModerator: Effect.fnUntraced(function* ({ params: { slug, uid } }) {
        if (!(yield* answer(chat.removeModerator(yield* enter(slug), uid)))) return yield* noModerator
      }),
      bans: Effect.fnUntraced(function* ({ params: { slug }, query: { after, limit = defaultLimit } }) {
        const rows = yield* answer(chat.bans(yield* enter(slug), { after, limit: limit + 1 }))
        const { last, page } = pageOf(rows, limit)
        return { bans: page.map(banInfo), next: last?.uid ?? null }
      }),
      putBan: Effect.fnUntraced(function* ({ params: { slug, uid }, payload: { reason = "", seconds } }) {
        return banInfo(yield* answer(chat.putBan(yield* enter(slug), { uid, seconds, reason: reason.trim() })))
      }),
      removeBan: Effect.fnUntraced(function* ({ params: { slug, uid } }) {
        if (!(yield* answer(chat.removeBan(yield* enter(slug), uid)))) return yield* noBan
      })
    })
  })
)

const forbidden = (code: string, title: string, detail: string) => new Problem({ status: 403, code, title, detail })

const rules = ProblemRules.layerOf(
  rule(ChatDisabled, ({ message }) => forbidden("chat-disabled", "The chat is switched off", message)),
  rule(Banned, ({ message }) => forbidden("banned", "The user may not post", message)),
  rule(NotPermitted, ({ message }) => forbidden("not-permitted", "The user lacks a permission", message)),
  rule(TooFast, ({ limit, message, seconds }) =>
    Problem.tooMany(limitCodes[limit], "Too many messages", message, seconds)
  ),
  rule(NoMessage, ({ message }) => Problem.notFound(message)),
  rule(NotBannable, ({ message }) => Problem.conflict("not-bannable", "The user can't be banned", message)),
  rule(TooManyModerators, ({ message }) =>
    Problem.conflict("too-many-moderators", "The limit of moderators is reached", message)
  )
)

/** The endpoints and the socket. */
export const layer = Layer.mergeAll(
  HttpApiBuilder.layer(ChatApi).pipe(Layer.provide([forAudience, forUsers])),
  ChatSocket.layer,
  rules
).pipe(Layer.provide([Sender.layer, Rooms.layer]), Layer.provide(MessageRows.layer))

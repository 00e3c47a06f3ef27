/** The contract of `/api/v1/studio/streams/{slug}/chat/…`. */
import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { Authorization, OptionalAuthorization } from "../Auth.ts"
import { Problem, strict } from "../Http.ts"
import { Id } from "../Id.ts"
import { ChatChanges } from "../Streams.ts"
import { Permission } from "./MemberRows.ts"
import { Nonce } from "./Message.ts"

/** The longest timeout. */
const maxTimeoutDays = 14

const Time = Schema.DateTimeUtcFromString
const Ordinal = (minimum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum: Number.MAX_SAFE_INTEGER }))

/** `broadcast_id`, `stream_offset_ms`: the broadcast that was live, and milliseconds since its start; null if none was. */
const MessageInfo = Schema.Struct({
  id: Schema.Int,
  uid: Schema.String,
  text: Schema.String,
  broadcast_id: Schema.NullOr(Schema.Int),
  stream_offset_ms: Schema.NullOr(Schema.Int),
  created_at: Schema.String
}).annotate({ identifier: "ChatMessage" })

/** `before_id`, `after_id`, `from_offset_ms`: of the next page, null at the end and in pages of another order. */
const Messages = Schema.Struct({
  messages: Schema.Array(MessageInfo),
  total: Schema.Null,
  has_more: Schema.Boolean,
  before_id: Schema.NullOr(Schema.Int),
  after_id: Schema.NullOr(Schema.Int),
  from_offset_ms: Schema.NullOr(Schema.Int)
}).annotate({ identifier: "ChatMessages" })

const BanInfo = Schema.Struct({
  uid: Schema.String,
  until: Schema.NullOr(Time),
  reason: Schema.String,
  banned_by: Schema.String,
  banned_at: Time
}).annotate({ identifier: "ChatBan" })

const ModeratorInfo = Schema.Struct({
  uid: Schema.String,
  permissions: Schema.Array(Permission),
  added_at: Time
}).annotate({ identifier: "ChatModerator" })

/** `you`: null without a key. `ban`: null if the user may post. */
const ChatState = Schema.Struct({
  enabled: Schema.Boolean,
  slow_mode_seconds: Schema.Int,
  you: Schema.NullOr(
    Schema.Struct({
      uid: Schema.String,
      role: Schema.Literals(["owner", "admin", "moderator", "reader"]),
      permissions: Schema.Array(Permission),
      ban: Schema.NullOr(Schema.Struct({ until: Schema.NullOr(Time), reason: Schema.String }))
    })
  )
}).annotate({ identifier: "Chat" })

/** `text`: 1 to 500 characters once trimmed. With the same `nonce`, the message is posted once. */
const NewMessage = Schema.Struct({
  text: Schema.String,
  nonce: Schema.optionalKey(Nonce)
}).annotate({ identifier: "NewChatMessage" })

/** With `seconds` a timeout, without a ban. */
const NewBan = Schema.Struct({
  seconds: Schema.optionalKey(
    Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: maxTimeoutDays * 24 * 60 * 60 }))
  ),
  reason: Schema.optionalKey(
    Schema.String.check(
      Schema.makeFilter((text) => [...text].length <= 200 && !/(?!\n)[\p{Cc}\p{Cs}]/u.test(text), {
        expected: "at most 200 characters, without control characters"
      })
    )
  )
}).annotate({ identifier: "NewChatBan" })

const NewModerator = Schema.Struct({
  permissions: Schema.Array(Permission).check(Schema.isMaxLength(4))
}).annotate({ identifier: "NewChatModerator" })

const Limit = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 100 }))
const params = { slug: Schema.String }
const message = { ...params, id: Ordinal(1) }
const user = { ...params, uid: Id }
const query = { uid: Schema.optionalKey(Id) }
const members = { ...query, after: Schema.optionalKey(Id), limit: Schema.optionalKey(Limit) }

export class ChatGroup extends HttpApiGroup.make("chat")
  .add(
    HttpApiEndpoint.get("messages", "/messages", {
      params,
      query: {
        before_id: Schema.optionalKey(Ordinal(1)),
        after_id: Schema.optionalKey(Ordinal(0)),
        broadcast: Schema.optionalKey(Ordinal(1)),
        from_offset_ms: Schema.optionalKey(Ordinal(0)),
        to_offset_ms: Schema.optionalKey(Ordinal(0)),
        limit: Schema.optionalKey(Limit)
      },
      success: Messages,
      error: Problem.documented(404)
    }).annotate(
      OpenApi.Summary,
      "Messages, 50 a page by default: newest first, or oldest first with `after_id`, or those of a `broadcast` by time"
    ),
    HttpApiEndpoint.get("state", "/settings", {
      params,
      query,
      success: ChatState,
      error: Problem.documented(404)
    }).annotate(OpenApi.Summary, "The settings of the chat, and what the caller may do in it")
  )
  .middleware(OptionalAuthorization)
  .prefix("/api/v1/studio/streams/:slug/chat")
  .annotateMerge(strict)
  .annotate(OpenApi.Description, "The chat of a stream, for its audience. That of a private stream needs a key.") {}

export class ModerationGroup extends HttpApiGroup.make("moderation")
  .add(
    HttpApiEndpoint.post("post", "/messages", {
      params,
      query,
      payload: NewMessage,
      success: MessageInfo.pipe(HttpApiSchema.status(201)),
      error: Problem.documented(404, 422)
    }).annotate(OpenApi.Summary, "Post a message"),
    HttpApiEndpoint.delete("remove", "/messages/:id", {
      params: message,
      query,
      error: Problem.documented(404)
    }).annotate(OpenApi.Summary, "Delete a message: one's own, or any with the permission `delete`"),
    HttpApiEndpoint.patch("settings", "/settings", {
      params,
      query,
      payload: ChatChanges,
      success: ChatState,
      error: Problem.documented(404)
    }).annotate(OpenApi.Summary, "Switch the chat on or off, and set the slow mode; needs the permission `settings`"),
    HttpApiEndpoint.get("moderators", "/moderators", {
      params,
      query: members,
      success: Schema.Struct({ moderators: Schema.Array(ModeratorInfo), next: Schema.NullOr(Schema.String) }),
      error: Problem.documented(404)
    }).annotate(OpenApi.Summary, "Moderators; `next` is the `after` of the next page"),
    HttpApiEndpoint.put("putModerator", "/moderators/:uid", {
      params: user,
      payload: NewModerator,
      success: ModeratorInfo,
      error: Problem.documented(404, 409)
    }).annotate(OpenApi.Summary, "Add a moderator, or change its permissions; for the owner"),
    HttpApiEndpoint.delete("removeModerator", "/moderators/:uid", {
      params: user,
      error: Problem.documented(404)
    }).annotate(OpenApi.Summary, "Remove a moderator; for the owner, and for the moderator"),
    HttpApiEndpoint.get("bans", "/bans", {
      params,
      query: members,
      success: Schema.Struct({ bans: Schema.Array(BanInfo), next: Schema.NullOr(Schema.String) }),
      error: Problem.documented(404)
    }).annotate(OpenApi.Summary, "Bans and timeouts in force; needs the permission `ban` or `timeout`"),
    HttpApiEndpoint.put("putBan", "/bans/:uid", {
      params: user,
      payload: NewBan,
      success: BanInfo,
      error: Problem.documented(404, 409)
    }).annotate(
      OpenApi.Summary,
      "Ban a user, which closes its sockets, or time it out for `seconds`; needs the permission `ban` or `timeout`"
    ),
    HttpApiEndpoint.delete("removeBan", "/bans/:uid", {
      params: user,
      error: Problem.documented(404)
    }).annotate(OpenApi.Summary, "End a ban or a timeout")
  )
  .middleware(Authorization)
  .prefix("/api/v1/studio/streams/:slug/chat")
  .annotateMerge(strict)
  .annotate(OpenApi.Description, "Posting in the chat of a stream, and its moderation.") {}

export class ChatApi extends HttpApi.make("spillway-chat").add(ChatGroup).add(ModerationGroup) {}

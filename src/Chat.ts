/** The chat of streams: messages, their moderation, and the permissions of users. */
import { Context, Effect, Layer, Option, Schema } from "effect"
import { SecureRandom } from "effect/crypto"
import type { Principal } from "./Auth.ts"
import type { DbError } from "./Db.ts"
import * as Streams from "./Streams.ts"
import { MemberRows, type Moderator, type Permission, type TooManyModerators } from "./Chat/MemberRows.ts"
import type { Ban, Message } from "./Chat/Message.ts"
import { MessageRows, type Page, type Replay } from "./Chat/MessageRows.ts"
import type { PostError } from "./Chat/Post.ts"

export { Erasure as ChatErasure } from "./Chat/Erasure.ts"

export type Role = "owner" | "admin" | "moderator" | "reader"

/** A user, or a visitor without a key, in the chat of a stream that it may read. */
export interface Visit {
  readonly stream: Streams.Stream
  /** None without a key. */
  readonly uid: string | undefined
  readonly role: Role
  readonly permissions: ReadonlyArray<Permission>
}

/** The user lacks a permission; `owner`: only the owner and admins may. */
export class NotPermitted extends Schema.TaggedError<NotPermitted>()("NotPermitted", {
  permission: Schema.Literals(["delete", "timeout", "ban", "settings", "owner"])
}) {
  override get message() {
    return this.permission === "owner"
      ? "Only the owner of the stream may do this."
      : `Only the owner of the stream and moderators with the permission \`${this.permission}\` may do this.`
  }
}

/** Owners can't be banned, and moderators by owners only. */
export class NotBannable extends Schema.TaggedError<NotBannable>()("NotBannable", { uid: Schema.String }) {
  override get message() {
    return `${this.uid} owns or moderates the stream. Owners can't be banned, and moderators only by the owner.`
  }
}

export class NoMessage extends Schema.TaggedError<NoMessage>()("NoMessage", { id: Schema.Finite }) {
  override get message() {
    return `There is no message ${this.id}.`
  }
}

interface BanRequest {
  readonly uid: string
  /** None: for ever. */
  readonly seconds: number | undefined
  readonly reason: string
}

interface MemberPage {
  readonly after: string | undefined
  readonly limit: number
}

export class Chat extends Context.Service<
  Chat,
  {
    /** None if there is no such stream, or the principal may not read it. */
    enter(slug: string, principal: Principal["Service"] | undefined): Effect.Effect<Option.Option<Visit>, DbError>
    page(visit: Visit, page: Page): Effect.Effect<ReadonlyArray<Message>, DbError>
    replay(visit: Visit, replay: Replay): Effect.Effect<ReadonlyArray<Message>, DbError>
    /** The text is trimmed and checked. The same `nonce` posts once. */
    post(
      visit: Visit & { readonly uid: string },
      message: { readonly text: string; readonly nonce: string | undefined }
    ): Effect.Effect<Message, DbError | PostError>
    /** By its author, or with the permission `delete`. Deleting again has no effect. */
    remove(visit: Visit & { readonly uid: string }, id: number): Effect.Effect<void, DbError | NotPermitted | NoMessage>
    moderators(visit: Visit, page: MemberPage): Effect.Effect<ReadonlyArray<Moderator>, DbError | NotPermitted>
    putModerator(
      visit: Visit,
      uid: string,
      permissions: ReadonlyArray<Permission>
    ): Effect.Effect<Moderator, DbError | NotPermitted | TooManyModerators>
    /** By the owner, or the moderator itself. False if there is none. */
    removeModerator(visit: Visit, uid: string): Effect.Effect<boolean, DbError | NotPermitted>
    /** The ban or timeout of the visit's user. */
    ban(visit: Visit): Effect.Effect<Option.Option<Ban>, DbError>
    bans(visit: Visit, page: MemberPage): Effect.Effect<ReadonlyArray<Ban>, DbError | NotPermitted>
    /** A banned moderator is none any more. */
    putBan(
      visit: Visit & { readonly uid: string },
      ban: BanRequest
    ): Effect.Effect<Ban, DbError | NotPermitted | NotBannable>
    /** False if the user is not banned. */
    removeBan(visit: Visit & { readonly uid: string }, uid: string): Effect.Effect<boolean, DbError | NotPermitted>
    /** What is left out is kept. None if the stream was deleted meanwhile. */
    changeSettings(
      visit: Visit,
      changes: { readonly chatEnabled?: boolean; readonly slowModeSeconds?: number }
    ): Effect.Effect<Option.Option<Streams.Stream>, DbError | NotPermitted>
  }
>()("spillway/Chat") {
  static readonly layerNoDeps = Layer.effect(
    Chat,
    Effect.suspend(() => make)
  )
  static readonly layer = this.layerNoDeps.pipe(Layer.provide([MessageRows.layer, MemberRows.layer]))
}

const everything: ReadonlyArray<Permission> = ["delete", "timeout", "ban", "settings"]

const owns = ({ role }: Visit) => role === "owner" || role === "admin"

const require = (visit: Visit, permission: Permission) =>
  visit.permissions.includes(permission) ? Effect.void : new NotPermitted({ permission })

const requireOwner = (visit: Visit) => (owns(visit) ? Effect.void : new NotPermitted({ permission: "owner" }))

const make = Effect.gen(function* () {
  const streams = yield* Streams.Streams
  const messages = yield* MessageRows
  const members = yield* MemberRows

  yield* streams.measureChatBy((stream) =>
    Effect.map(messages.messagesPerMinute(stream.id), (messagesPerMinute) => ({ messagesPerMinute }))
  )
  yield* streams.admit((stream, uid) => Effect.map(members.moderator(stream.id, uid), Option.isSome))

  /** Bans are seen by those who can end or begin one. */
  const requireAnyBan = (visit: Visit) => (visit.permissions.includes("timeout") ? Effect.void : require(visit, "ban"))

  return Chat.of({
    enter: Effect.fn("Chat.enter")(function* (slug, principal) {
      const found = yield* streams.findFor(slug, principal)
      if (Option.isNone(found)) return Option.none()
      const { role, stream } = found.value
      const uid = principal?.uid
      if (role !== "reader") return Option.some<Visit>({ stream, uid, role, permissions: everything })
      const moderator = uid === undefined ? Option.none() : yield* members.moderator(stream.id, uid)
      return Option.some(
        Option.match(moderator, {
          onNone: (): Visit => ({ stream, uid, role: "reader", permissions: [] }),
          onSome: ({ permissions }): Visit => ({ stream, uid, role: "moderator", permissions })
        })
      )
    }),
    page: ({ stream }, page) => messages.page(stream.id, page),
    replay: ({ stream }, replay) => messages.replay(stream.id, replay),
    post: Effect.fn("Chat.post")(({ role, stream, uid }, { nonce = SecureRandom.uuidV7Unsafe(), text }) =>
      messages.post({ stream: stream.id, uid, nonce, text, isAdmin: role === "admin" })
    ),
    remove: Effect.fn("Chat.remove")(function* (visit, id) {
      const author = yield* messages.author(visit.stream.id, id)
      if (Option.isNone(author)) return yield* new NoMessage({ id })
      if (author.value !== visit.uid) yield* require(visit, "delete")
      yield* messages.remove(visit.stream.id, id, visit.uid)
    }),
    moderators: Effect.fn("Chat.moderators")(function* (visit, page) {
      if (visit.role !== "moderator") yield* requireOwner(visit)
      return yield* members.moderators(visit.stream.id, page)
    }),
    putModerator: Effect.fn("Chat.putModerator")(function* (visit, uid, permissions) {
      yield* requireOwner(visit)
      return yield* members.putModerator(visit.stream.id, uid, permissions)
    }),
    removeModerator: Effect.fn("Chat.removeModerator")(function* (visit, uid) {
      if (visit.uid !== uid) yield* requireOwner(visit)
      return yield* members.removeModerator(visit.stream.id, uid)
    }),
    ban: ({ stream, uid }) => (uid === undefined ? Effect.succeed(Option.none()) : members.ban(stream.id, uid)),
    bans: Effect.fn("Chat.bans")(function* (visit, page) {
      yield* requireAnyBan(visit)
      return yield* members.bans(visit.stream.id, page)
    }),
    putBan: Effect.fn("Chat.putBan")(function* (visit, { reason, seconds, uid }) {
      yield* require(visit, seconds === undefined ? "ban" : "timeout")
      const { stream } = visit
      const isModerator = Option.isSome(yield* members.moderator(stream.id, uid))
      if (uid === stream.uid || uid === visit.uid || (isModerator && !owns(visit)))
        return yield* new NotBannable({ uid })
      const replacesBan = visit.permissions.includes("ban")
      const ban = yield* members.putBan({ stream: stream.id, uid, seconds, reason, by: visit.uid, replacesBan })
      return yield* Effect.mapError(Effect.fromOption(ban), () => new NotPermitted({ permission: "ban" }))
    }),
    removeBan: Effect.fn("Chat.removeBan")(function* (visit, uid) {
      yield* requireAnyBan(visit)
      const which = visit.permissions.includes("ban") ? "any" : "timeouts"
      const ended = yield* members.removeBan(visit.stream.id, uid, visit.uid, which)
      return ended === "kept" ? yield* new NotPermitted({ permission: "ban" }) : ended === "removed"
    }),
    changeSettings: Effect.fn("Chat.changeSettings")(function* (visit, changes) {
      yield* require(visit, "settings")
      const { slug, uid } = visit.stream
      // The slug stays, so that it can't be taken.
      return yield* streams
        .update({ uid, isAdmin: true }, slug, changes, () => true)
        .pipe(Effect.catchTag(["SlugTaken", "StreamChanged"], Effect.die))
    })
  })
})

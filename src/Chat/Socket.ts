/** The chat socket of a stream. Effect's `Socket` reads; what is written waits for the connection, which Effect's writer does not. */
import { Clock, Duration, Effect, Layer, Metric, Option, PubSub, Schema, Semaphore } from "effect"
import type { Scope } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import { Socket } from "effect/socket"
import type { WebSocket } from "ws"
import { Authentication } from "../Auth.ts"
import { NoSeat, Seats } from "../Bulkhead.ts"
import { Chat, type Visit } from "../Chat.ts"
import { callerOf, DbCaller, type DbError } from "../Db.ts"
import { Clients, Handshake, Problem, ProblemRules } from "../Http.ts"
import { Readiness } from "../Readiness.ts"
import { noStream } from "../Streams.ts"
import { ChatConfig } from "./ChatConfig.ts"
import { MessageRows } from "./MessageRows.ts"
import * as Protocol from "./Protocol.ts"
import { type ChatRoom, Rooms } from "./Rooms.ts"
import { Sender } from "./Sender.ts"

const path = "/api/v1/studio/streams/:slug/chat"

const keySources = { query: true, subprotocol: true }

/** Changes that a reader who returns is sent at most; it is notified of more. */
const maxReplayed = 1_000

/** Changes of one query of a replay. */
const replayedAtOnce = 100

/** Keys that are checked at a time; the others wait. */
const keyChecks = 16

/** How often a reader that does not take what it was sent is checked. */
const stallCheck = Duration.millis(250)

const { closeCodes } = Protocol

/** Ends the socket with a close frame. */
class Closing extends Schema.TaggedError<Closing>()("Closing", { code: Schema.Int, reason: Schema.String }) {}

const droppedTotal = Metric.counter("spillway_chat_slow_readers_total", {
  description: "Chat sockets that were closed because their queue has slid",
  incremental: true
})
const refusedTotal = Metric.counter("spillway_chat_refused_total", {
  description:
    "Chat sockets that were closed at their start (1013), by reason: user, address, stream, node or database",
  incremental: true
})

/** `by`: whose limit is reached, or that the database fails. */
const later = (by: "user" | "address" | "stream" | "node" | "database", reason: string) =>
  Effect.andThen(
    Metric.update(Metric.withAttributes(refusedTotal, { reason: by }), 1),
    new Closing({ code: closeCodes.later, reason: `Retry-After: 5; ${reason}` })
  )
const notReadable = new Closing({ code: closeCodes.noStream, reason: "the stream can't be read any more" })
const badQuery = new Closing({ code: closeCodes.policy, reason: "bad query: after_id is the id of a message, or 0" })

const tooManyAttempts = (wait: number) =>
  Problem.tooMany(
    "chat-attempts",
    "The address opens too many chat sockets",
    "Open fewer, or keep one open.",
    Math.ceil(wait / 1_000)
  )

/** An unavailable database revokes nothing. */
const unlessRevoked = <A>(check: Effect.Effect<A, Closing | Problem | DbError>): Effect.Effect<void, Closing> =>
  Effect.catchTags(Effect.asVoid(check), {
    Problem: ({ message, status }) =>
      status === 401 ? new Closing({ code: closeCodes.policy, reason: Protocol.reasonOf(message) }) : Effect.void,
    DbUnavailable: () => Effect.void,
    DbTimeout: () => Effect.void,
    DbBusy: () => Effect.void
  })

const make = Effect.gen(function* () {
  const config = yield* ChatConfig
  const chat = yield* Chat
  const rooms = yield* Rooms
  const rows = yield* MessageRows
  const sender = yield* Sender
  const { authenticate } = yield* Authentication
  const checkOrigin = yield* Handshake.originCheck
  const problems = yield* ProblemRules
  const { draining } = yield* Readiness
  const clock = yield* Clock.Clock
  const router = yield* HttpRouter.HttpRouter
  const handshake = yield* Handshake.make(path, { maxPayload: Protocol.maxFrameBytes, autoPong: true })
  const checks = yield* Semaphore.make(keyChecks)
  const now = () => clock.currentTimeMillisUnsafe()
  const opened = new Clients.Rate(config.attemptsPerMinute, now)

  const seats = yield* Seats.make("chat sockets", {
    node: { limit: config.socketsPerNode, setting: "CHAT_SOCKETS_PER_NODE" },
    user: { limit: config.socketsPerUser, setting: "CHAT_SOCKETS_PER_USER" }
  })
  const anonymous = yield* Seats.make("anonymous chat sockets", {
    node: { limit: config.socketsPerNode, setting: "CHAT_SOCKETS_PER_NODE" },
    user: { limit: config.socketsPerAddress, setting: "CHAT_SOCKETS_PER_ADDRESS" }
  })
  const perStream = new Map<number, number>()

  const takeStreamSeat = (stream: number) =>
    Effect.acquireRelease(
      Effect.suspend(() => {
        const taken = perStream.get(stream) ?? 0
        if (taken >= config.socketsPerStream)
          return later("stream", `the stream has ${taken} chat sockets on this node`)
        perStream.set(stream, taken + 1)
        return Effect.void
      }),
      () =>
        Effect.sync(() => {
          const left = (perStream.get(stream) ?? 1) - 1
          if (left > 0) perStream.set(stream, left)
          else perStream.delete(stream)
        })
    )

  const refusal = ({ limit, of, seats }: NoSeat, isAnonymous: boolean) => {
    if (of === "node") return later("node", `the node has ${limit} ${seats}`)
    return isAnonymous
      ? later("address", `the address has ${limit} chat sockets`)
      : later("user", `the user has ${limit} sockets in this chat`)
  }

  const takeSeats = Effect.fnUntraced(function* ({ stream, uid }: Visit, address: string) {
    yield* uid === undefined ? anonymous.take(address) : seats.take(`${stream.id} ${uid}`)
    yield* takeStreamSeat(stream.id)
  })

  /** Closes with the code of the last `Closing`, reads until the client's close frame, and cuts the connection at the timeout. */
  const end = (socket: WebSocket) =>
    Effect.suspend(() => {
      if (socket.isPaused) socket.resume()
      socket.close()
      return Effect.timeoutOrElse(Handshake.awaitClose(socket), {
        duration: config.closeTimeout,
        orElse: () => Effect.sync(() => socket.terminate())
      })
    })

  /** Sends, and waits while the connection takes no more. Fails when batches of the room were lost meanwhile. */
  const send = (socket: WebSocket, frames: ReadonlyArray<string>, hasLost: () => boolean) =>
    Effect.suspend(() => {
      let isSent = false
      let resume = () => {}
      frames.forEach((frame, index) =>
        socket.send(frame, () => {
          if (index < frames.length - 1) return
          isSent = true
          resume()
        })
      )
      if (socket.bufferedAmount === 0) return Effect.void
      const sent = Effect.callback<void>((done) => {
        resume = () => done(Effect.void)
        if (isSent) resume()
      })
      const lost = Effect.suspend(() => (hasLost() ? tooSlow : Effect.sleep(stallCheck))).pipe(Effect.forever)
      return Effect.raceFirst(sent, lost)
    })

  const tooSlow = Effect.andThen(
    Metric.update(droppedTotal, 1),
    new Closing({ code: closeCodes.slow, reason: `more than ${config.queue} batches waited: the reader is too slow` })
  )

  /** The changes after `after`, at least up to `through`. Returns the last one's id. */
  const replay = Effect.fnUntraced(function* (
    { stream }: ChatRoom,
    { after, through }: { readonly after: number; readonly through: number },
    write: (frames: ReadonlyArray<string>) => Effect.Effect<void, Closing>
  ) {
    let at = after
    let sent = 0
    while (at < through && sent < maxReplayed) {
      const changes = yield* rows.changes(stream, at, replayedAtOnce)
      if (changes.length > 0) yield* write(changes.map((change) => Protocol.frameOf(change).text))
      at = changes.at(-1)?.id ?? through
      sent += changes.length
      if (changes.length < replayedAtOnce) return Math.max(at, through)
    }
    if (at < through) yield* write([Protocol.gap(at, through)])
    return Math.max(at, through)
  })

  /** Sends what happens in the room, until it ends. */
  const follow = Effect.fnUntraced(function* (
    socket: WebSocket,
    room: ChatRoom,
    visit: Visit,
    after: number | undefined,
    check: Effect.Effect<void, Closing>
  ) {
    const batches = yield* PubSub.subscribe(room.batches)
    let taken = room.published()
    const hasLost = () => room.published() - taken > config.queue
    const write = (frames: ReadonlyArray<string>) => send(socket, frames, hasLost)
    // Of a ban that is committed later, the room publishes a batch.
    const ban = yield* chat.ban(visit)
    if (Option.isSome(ban) && ban.value.until === undefined && visit.role !== "admin")
      return yield* new Closing({ code: closeCodes.banned, reason: Protocol.bannedReason(ban.value.reason) })
    const position = room.position()
    const { permissions, role, uid } = visit
    const you = uid === undefined ? null : { uid, role, permissions }
    yield* write([Protocol.hello({ lastId: position, settings: room.settings(), you })])
    let sent = after === undefined ? position : yield* replay(room, { after, through: position }, write)
    const receive = Effect.gen(function* () {
      const frames: Array<string> = []
      for (const batch of yield* PubSub.takeAll(batches)) {
        if (batch.number > taken + 1) return yield* tooSlow
        taken = Math.max(taken, batch.number)
        for (const { checks, closes, id, text } of batch.frames) {
          if (checks === true) yield* check
          else if (id === undefined || id > sent) frames.push(text)
          sent = Math.max(sent, id ?? sent)
          if (closes !== undefined && (closes.uid === undefined || closes.uid === uid) && role !== "admin") {
            yield* write(frames)
            return yield* new Closing(closes)
          }
        }
      }
      if (frames.length > 0) yield* write(frames)
    })
    return yield* Effect.forever(receive)
  })

  /** Fails when the key is not valid any more. Nodes remember it for 10 seconds, in which no query is made. */
  const checkKey = (request: HttpServerRequest.HttpServerRequest) => unlessRevoked(authenticate(request, keySources))

  /** Posts what the client sends, one message after the other, while `check` permits it: who was erased writes no more. */
  const receive = Effect.fnUntraced(
    function* (socket: WebSocket, visit: Visit, address: string, check: Effect.Effect<void, Closing>) {
      const connection = yield* Socket.fromWebSocket(Effect.succeed(socket))
      const { pull } = yield* connection.reader
      const frames = new Clients.Rate(60 * config.framesPerSecond, now)
      const write = (text: string) => send(socket, [text], () => false)
      return yield* pull.pipe(
        Effect.flatMap((batch) =>
          Effect.forEach(
            batch,
            (frame) => {
              if (typeof frame !== "string")
                return new Closing({ code: closeCodes.unsupported, reason: "messages are text frames with JSON" })
              if (frames.take("") > 0) return new Closing({ code: closeCodes.policy, reason: "too many messages" })
              return Effect.andThen(check, Effect.flatMap(sender.receive(visit, address, frame), write))
            },
            { discard: true }
          )
        ),
        Effect.forever
      )
      // The client has closed the socket, or the connection is gone.
    },
    Effect.catchTag("SocketError", () => Effect.void)
  )

  /** Fails when the key is revoked, or the user may not read the stream any more. Sends what the user may do when that changes. */
  const checkAccess = (request: HttpServerRequest.HttpServerRequest, socket: WebSocket, visit: Visit) => {
    const mayOf = ({ permissions, role }: Visit) => `${role} ${permissions.join(" ")}`
    let known = mayOf(visit)
    return Effect.gen(function* () {
      const principal = visit.uid === undefined ? undefined : yield* authenticate(request, keySources)
      const entered = yield* chat.enter(visit.stream.slug, principal)
      if (Option.isNone(entered)) return yield* notReadable
      const { permissions, role, uid } = entered.value
      if (uid === undefined || mayOf(entered.value) === known) return
      known = mayOf(entered.value)
      // One frame of a check: it does not wait for the connection.
      socket.send(Protocol.you({ uid, role, permissions }))
    }).pipe(checks.withPermit, unlessRevoked)
  }

  /** Pings, and cuts the connection if the last ping was not answered. */
  const watch = (socket: WebSocket, check: Effect.Effect<void, Closing>) => {
    let isAlive = true
    socket.on("pong", () => (isAlive = true))
    return Effect.gen(function* () {
      yield* Effect.sleep(config.pingInterval)
      if (!isAlive) return socket.terminate()
      isAlive = false
      socket.ping()
      yield* check
    }).pipe(Effect.forever)
  }

  const serve = Effect.fnUntraced(function* (
    request: HttpServerRequest.HttpServerRequest,
    socket: WebSocket,
    visit: Visit,
    address: string
  ): Effect.fn.Return<void, Closing, Scope.Scope> {
    const run = Effect.gen(function* () {
      const after = yield* Effect.mapError(Effect.fromOption(Protocol.afterIdOf(request.url)), () => badQuery)
      yield* takeSeats(visit, address)
      const room = yield* rooms.join(visit.stream.id)
      const check = checkAccess(request, socket, visit)
      yield* Effect.raceAllFirst([
        receive(socket, visit, address, visit.uid === undefined ? Effect.void : checkKey(request)),
        follow(socket, room, visit, after, check),
        watch(socket, check),
        Effect.andThen(draining, new Closing({ code: closeCodes.goingAway, reason: "the server is stopping" }))
      ])
    })
    yield* run.pipe(
      Effect.catchTags({
        NoSeat: (full) => refusal(full, visit.uid === undefined),
        NoRoom: () => notReadable,
        ExceededCapacityError: () => later("node", "the node has too many chat rooms"),
        DbUnavailable: () => later("database", "the database does not respond"),
        DbTimeout: () => later("database", "the database is too slow"),
        DbBusy: () => later("user", "the user has too many requests at once")
      }),
      Effect.catchDefect((defect) =>
        Effect.andThen(
          Effect.logError("a chat socket has ended with a defect", defect),
          new Closing({ code: closeCodes.failed, reason: "the server failed" })
        )
      )
    )
  })

  const open = Effect.gen(function* () {
    const request = yield* HttpServerRequest.HttpServerRequest
    const offer = yield* handshake.offerOf(request)
    if (Option.isNone(offer)) return yield* Handshake.notWebSocket
    yield* checkOrigin(request)
    const address = Clients.addressOf(request)
    const wait = opened.take(address)
    if (wait > 0) return yield* tooManyAttempts(wait)
    const principal = hasKey(request) ? yield* authenticate(request, keySources) : undefined
    const { params } = yield* HttpRouter.RouteContext
    const entered = yield* chat.enter(params["slug"] ?? "", principal)
    if (Option.isNone(entered)) return yield* noStream
    const visit = entered.value
    const socket = yield* Effect.acquireRelease(handshake.accept(offer.value), end)
    yield* serve(request, socket, visit, address).pipe(
      Effect.provideService(DbCaller, visit.uid === undefined ? anonymousCaller : callerOf(visit.uid)),
      Effect.catchTag("Closing", ({ code, reason }) =>
        Effect.sync(() => socket.close(code, Protocol.reasonOf(reason)))
      ),
      Effect.scoped
    )
    return HttpServerResponse.empty()
  }).pipe(Effect.scoped, problems.answer)

  yield* router.add("GET", path, open)
})

const anonymousCaller: DbCaller = { kind: "request", uid: undefined }

const hasKey = ({ headers, url }: HttpServerRequest.HttpServerRequest) =>
  headers["authorization"] !== undefined ||
  new URLSearchParams(url.split("?")[1]).has("access_token") ||
  (headers["sec-websocket-protocol"] ?? "").split(",").some((protocol) => protocol.trim().startsWith("bearer."))

export const layer = Layer.effectDiscard(make)

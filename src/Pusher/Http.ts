/** The route of the capture socket. Uses `ws` directly, because Effect's `Socket` costs twice as much per message. */
import { Duration, Effect, Fiber, FiberSet, Layer, Option, Result } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import type { IncomingMessage } from "node:http"
import type { WebSocket } from "ws"
import type { NoSeat } from "../Bulkhead.ts"
import { Handshake, Problem, ProblemRules } from "../Http.ts"
import { Readiness } from "../Readiness.ts"
import { Authentication } from "../Auth.ts"
import { Recording } from "../Recording.ts"
import { ActiveUsers } from "../Users.ts"
import { LiveAudio } from "./Live/Audio.ts"
import { MessageHandlers } from "./MessageHandlers.ts"
import * as Protocol from "./Protocol.ts"
import { PusherConfig } from "./PusherConfig.ts"
import { Relay } from "./Relay.ts"
import { RecentConversations } from "./RecentConversations.ts"
import { Session } from "./Session.ts"
import { Sockets } from "./Sockets.ts"
import { StreamCaptures } from "./StreamCaptures.ts"

/** Sent in a close frame: a backend that counts rejected upgrades as failures would stop connecting for all of its users. */
const retryReason = ({ limit, of, setting }: NoSeat) =>
  `Retry-After: 5; the ${of} has ${limit} captures, as many as ${setting} allows`

const stopping = Problem.unavailable("stopping", "The node is stopping", "Try another node, or again in a second.")

const unreadSettings = "Retry-After: 5; the user's settings can't be read"

/** Without the message, which can quote the text: users' keys for providers are in it. */
const placeOf = (cause: unknown): string =>
  cause instanceof Error
    ? [cause.name, ...(cause.stack ?? "").split("\n").filter((line) => line.startsWith("    at "))].join("\n")
    : "what was thrown is no error"

const path = "/v1/trigger/listen"

const keySources = { query: true, subprotocol: true, basic: true, streamKeys: true }

const make = Effect.gen(function* () {
  const config = yield* PusherConfig
  const { authenticate } = yield* Authentication
  const problems = yield* ProblemRules
  const recording = yield* Recording
  const sockets = yield* Sockets
  const recents = yield* RecentConversations
  const handlers = yield* MessageHandlers
  const relay = yield* Relay
  const liveAudio = yield* LiveAudio
  const streamCaptures = yield* StreamCaptures
  const users = yield* ActiveUsers
  const readiness = yield* Readiness
  const router = yield* HttpRouter.HttpRouter
  const handshake = yield* Handshake.make(path, {
    maxPayload: config.audioBytes + Protocol.audioHead,
    // The session answers pings, as far as the peer reads.
    autoPong: false
  })

  /** Reads until the client's close frame, because closing with unread input resets the connection. */
  const goAway = (socket: WebSocket) =>
    Effect.suspend(() => {
      if (socket.isPaused) socket.resume()
      socket.close(Protocol.closeCodes.goingAway, "the server is stopping")
      return Effect.timeoutOrElse(Handshake.awaitClose(socket), {
        duration: config.closeTimeout,
        orElse: () => Effect.sync(() => socket.terminate())
      })
    })

  /**
   * Records what arrives until the client's close frame, for as long as something arrives: without acknowledgements the client
   * takes what it sent to an open socket as received.
   */
  const recordUntilClosed = (socket: WebSocket, connection: IncomingMessage["socket"]) =>
    Effect.gen(function* () {
      socket.close(Protocol.closeCodes.goingAway, "the server is stopping")
      for (let bytes = -1; bytes < connection.bytesRead && socket.readyState !== socket.CLOSED;) {
        bytes = connection.bytesRead
        yield* Effect.timeoutOption(Handshake.awaitClose(socket), config.closeTimeout)
      }
    }).pipe(Effect.timeoutOption(config.drainTimeout))

  const limits = {
    framesPerSecond: config.framesPerSecond,
    receiveTimeoutMillis: Duration.toMillis(config.receiveTimeout)
  }

  /** An unavailable database does not revoke a key. */
  const isRevoked = (request: HttpServerRequest.HttpServerRequest) =>
    Effect.match(authenticate(request, keySources), {
      onFailure: (error) => error instanceof Problem && error.status === 401,
      onSuccess: () => false
    })

  const fork = yield* FiberSet.makeRuntime<never>()

  const listen = Effect.gen(function* () {
    const request = yield* HttpServerRequest.HttpServerRequest
    const offer = yield* handshake.offerOf(request)
    const { grant, uid } = yield* authenticate(request, keySources)
    if (Option.isNone(offer)) return yield* Handshake.notWebSocket
    const { incoming } = offer.value
    const query = Protocol.query(request.url)
    const isUnacknowledged = Result.isSuccess(query) && query.success.acks === "none"
    if (isUnacknowledged && !sockets.isOpen()) return yield* stopping
    const noSeat = yield* Effect.flip(sockets.takeSeat(uid)).pipe(Effect.option)
    const socket = yield* Effect.acquireRelease(handshake.accept(offer.value), goAway)
    const closed = Effect.as(Handshake.awaitClose(socket), HttpServerResponse.empty())
    const refuse = (code: number, reason: string) => {
      socket.resume()
      socket.close(code, reason)
      return closed
    }
    if (Option.isSome(noSeat)) return yield* refuse(Protocol.closeCodes.later, retryReason(noSeat.value))
    if (Result.isFailure(query)) return yield* refuse(Protocol.closeCodes.policy, query.failure)
    const { acks, clientKind, codec, exact, sampleRate } = query.success
    if (exact) socket.send(Protocol.timeline)
    const user = yield* Effect.raceAllFirst([
      Effect.timeoutOption(users.enter(uid), config.settingsTimeout),
      Effect.as(isUnacknowledged ? closed : Effect.raceFirst(closed, readiness.draining), undefined)
    ])
    if (user === undefined) return HttpServerResponse.empty()
    if (Option.isNone(user)) return yield* refuse(Protocol.closeCodes.later, unreadSettings)
    const source = { uid, clientKind }
    const tap = liveAudio.open({ uid, sampleRate, codec })
    let reading: Fiber.Fiber<void> | undefined
    const relayed = yield* relay.open({ uid, sampleRate, onAnswer: (message) => session.answer(message) })
    const end = (reason: string) => session.close(Protocol.closeCodes.policy, reason)
    // Nothing waits between here and the session, which `end` closes.
    const feed = Option.getOrUndefined(yield* streamCaptures.open({ uid, grant, end }))
    const slow = Effect.sync(() => session.close(Protocol.closeCodes.later, "Retry-After: 5; a message took too long"))
    const session: Session = new Session(
      socket,
      { ...limits, uid, acks, codec },
      {
        now: () => performance.now(),
        received: sockets.received,
        handler: handlers.get,
        relay: Option.getOrUndefined(relayed),
        maySelect: () => sockets.maySelect(uid),
        storesAudio: () => user.value.storesAudio,
        audio: {
          append: (conversation, audio) => {
            feed?.received(conversation, audio.length)
            tap.append(conversation, audio)
          },
          flush: (conversation) => tap.flush(conversation)
        },
        fed: (conversation) => {
          if (feed === undefined) recents.note(source, conversation)
        },
        died: (cause) =>
          void fork(Effect.logError("a message of a capture socket could not be handled", placeOf(cause))),
        findRecent: (found) => {
          const latest = feed === undefined ? recents.find(source) : Effect.asSome(feed.conversation)
          const recent = Effect.catchCause(latest, (cause) =>
            Effect.as(Effect.logError("the latest conversation of an app could not be found", cause), Option.none())
          )
          fork(Effect.map(recent, (id) => found(Option.getOrUndefined(id))))
        },
        admit: (admitted) => {
          const turn = Effect.callback<void>((resume) => admitted(() => resume(Effect.void)))
          const bounded = Effect.timeoutOrElse(turn, { duration: config.largeMessageTimeout, orElse: () => slow })
          reading = fork(Effect.catchTag(sockets.largeMessages.run(uid)(bounded), "Saturated", () => slow))
        }
      }
    )
    incoming.socket.on("data", (bytes: Buffer) => session.arrived(bytes))
    const capture = yield* recording.open({
      uid,
      sampleRate,
      codec,
      exact,
      clientKind,
      droppedSegments: () => session.droppedSegments,
      onAck: (ack) => session.onAck(ack),
      onRoom: () => session.onRoom(),
      onFailure: (failure) => session.onFailure(failure),
      onLost: (lost) => session.onLost(lost),
      onShift: (seconds) => session.onShift(seconds)
    })
    yield* Effect.addFinalizer(() =>
      Effect.suspend(() => {
        session.stop()
        return reading === undefined ? Effect.void : Fiber.interrupt(reading)
      })
    )
    session.start(capture)
    yield* sockets.watch(session, socket, isRevoked(request))
    if (isUnacknowledged) yield* recordUntilClosed(socket, incoming.socket)
    return HttpServerResponse.empty()
  }).pipe(Effect.scoped, problems.answer)

  yield* router.add("GET", path, listen)
})

export const layer = Layer.effectDiscard(make)

/** Sends the requests of webhooks: bounded in number, time and size, to addresses that may be reached, without redirects. */
import type { LookupFunction } from "node:net"
import type * as Undici from "undici"
import { Cause, Clock, Context, Duration, Effect, Exit, Layer, Option, Schema } from "effect"
import { BoundedMap } from "../BoundedMap.ts"
import { Bulkhead, type Saturated } from "../Bulkhead.ts"
import * as Deadlines from "../Deadlines.ts"
import * as Addresses from "./Addresses.ts"
import { Connections, maxOpen, maxOpenPerHost } from "./Connections.ts"
import { HostSlots } from "./HostSlots.ts"
import * as TargetUrl from "./TargetUrl.ts"
import { WebhooksConfig } from "./WebhooksConfig.ts"

/** Bytes of a response that are read. */
const maxResponseBytes = 64 * 1024

/** Requests that wait for a connection. One more is rejected. */
const maxWaiting = 1_000

/** URLs that were parsed. One more forgets the one that was used longest ago. */
const maxParsed = 1_000

/** `key`: requests of different keys to a host wait in turn. */
export interface Target {
  readonly url: string
  readonly key: string
  /** Longest wait for one of the host's slots. */
  readonly patience: Duration.Duration
}

export interface Request {
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
  /** For the whole request, once it has a connection. */
  readonly limit: Duration.Duration
}

export interface Response {
  readonly status: number
  /** Repeated headers are joined with commas. */
  readonly headers: Readonly<Record<string, string>>
  /** The first 64 KiB, as UTF-8. Not decompressed: the request asks for no compression. */
  readonly body: string
  readonly millis: number
}

/** No response. `reason` in words; `isRefused`: the URL must not be requested, so a retry needs another URL or DNS entry. */
export class SendFailed extends Schema.TaggedError<SendFailed>()("SendFailed", {
  reason: Schema.String,
  isRefused: Schema.Boolean
}) {
  override get message() {
    return this.reason
  }
}

/** The host had 8 requests for the time of the caller's patience, so this one was not sent. */
export class HostBusy extends Schema.TaggedError<HostBusy>()("HostBusy", { host: Schema.String }) {
  override get message() {
    return `${this.host} already has ${maxOpenPerHost} requests`
  }
}

export type Post = (request: Request) => Effect.Effect<Response, SendFailed | Saturated>

export class WebhookClient extends Context.Service<
  WebhookClient,
  {
    /** For a URL that is being saved. A host that can't be resolved just now is accepted, because each connection is checked. */
    check(url: string): Effect.Effect<URL, TargetUrl.UrlRefused>
    /** `use` runs with one of the host's 8 slots, and may post one request at a time. */
    withHost<A, E, R>(target: Target, use: (post: Post) => Effect.Effect<A, E, R>): Effect.Effect<A, E | HostBusy, R>
  }
>()("spillway/Webhooks/WebhookClient") {
  static readonly layer = Layer.effect(
    WebhookClient,
    Effect.suspend(() => make)
  )
}

const reasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: "the connection was refused",
  ECONNRESET: "the connection was reset",
  EHOSTUNREACH: "the host can't be reached",
  ENETUNREACH: "the network can't be reached",
  EPIPE: "the connection was closed while the request was sent",
  UND_ERR_CONNECT_TIMEOUT: "no connection within 2 seconds",
  UND_ERR_HEADERS_OVERFLOW: "the headers of the response are too large",
  UND_ERR_SOCKET: "the connection was closed before the response was complete"
}

const failed = (error: Error & { readonly code?: string }): SendFailed => {
  if (error instanceof TargetUrl.UrlRefused)
    return new SendFailed({ reason: error.message, isRefused: error.rule !== "host" })
  const known = reasons[error.code ?? ""]
  return new SendFailed({ reason: known ?? (error.message || error.name), isRefused: false })
}

const endedUnexpectedly = "the lookup of the host ended unexpectedly"

const textOf = (value: string | ReadonlyArray<string> | undefined) =>
  value === undefined ? "" : typeof value === "string" ? value : value.join(", ")

const make = Effect.gen(function* () {
  const config = yield* WebhooksConfig
  const clock = yield* Clock.Clock
  const rules = {
    allowHttp: config.allowHttp === "yes",
    networks: Addresses.allowedNetworks(config.allowAddresses)
  }
  const bulkhead = yield* Bulkhead.make({
    name: "webhooks.requests",
    permits: maxOpen,
    maxWaiting,
    maxWaitingPerKey: maxOpenPerHost,
    retryAfter: Duration.seconds(1),
    warnEvery: Duration.seconds(30)
  })
  const run = Effect.runCallbackWith(yield* Effect.context<never>())

  /** The addresses that are checked are those that are connected to, so a name that changes its address can't lead elsewhere. */
  const lookup: LookupFunction = (host, { all }, done) => {
    run(TargetUrl.resolve(host, rules), {
      onExit: Exit.match({
        onFailure: (cause) =>
          done(
            Option.getOrElse(Cause.findErrorOption(cause), () => new Error(endedUnexpectedly)),
            ""
          ),
        onSuccess: (addresses) => {
          const [first] = addresses
          if (all === true) done(null, [...addresses])
          else done(null, first?.address ?? "", first?.family)
        }
      })
    })
  }

  const connections = yield* Effect.acquireRelease(
    Effect.sync(() => new Connections(lookup)),
    (open) => Effect.sync(() => open.closeIdle())
  )
  const slots = new HostSlots(maxOpenPerHost)
  const deadlines = yield* Deadlines.make
  const parsed = new BoundedMap<URL>(maxParsed)

  /** Loaded for the first request. */
  const undici = yield* Effect.cached(Effect.promise(() => import("undici")))

  const exchange = (loaded: Pick<typeof Undici, "Client">, url: URL, { body, headers, limit }: Request) =>
    Effect.callback<Response, SendFailed>((resume) => {
      const connection = connections.take(url, loaded)
      const began = clock.monotonicTimeNanosUnsafe()
      const pieces: Array<Buffer> = []
      let [size, status, isEnded] = [0, 0, false]
      let received: Readonly<Record<string, string>> = {}

      const end = (isReusable: boolean, result: () => Effect.Effect<Response, SendFailed>) => {
        if (isEnded) return
        isEnded = true
        deadlines.drop(deadline)
        connections.release(connection, isReusable)
        resume(result())
      }
      const deadline = {
        at: deadlines.now() + Duration.toMillis(limit),
        expire: () =>
          end(false, () => failed(new Error(`no complete response within ${Duration.toSeconds(limit)} seconds`)))
      }
      const respond = (isReusable: boolean) =>
        end(isReusable, () =>
          Effect.succeed({
            status,
            headers: received,
            body: Buffer.concat(pieces).subarray(0, maxResponseBytes).toString(),
            millis: Number(clock.monotonicTimeNanosUnsafe() - began) / 1e6
          })
        )

      deadlines.add(deadline)
      connection.client.dispatch(
        { path: url.pathname + url.search, method: "POST", headers, body },
        {
          // Without it the dispatcher takes the handler for one of its former interface.
          onRequestStart: () => {},
          onRequestUpgrade: () => end(false, () => failed(new Error("the response switches the protocol"))),
          onResponseStart: (_controller, code, fields) => {
            status = code
            received = Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, textOf(value)]))
          },
          onResponseData: (_controller, piece) => {
            pieces.push(piece)
            size += piece.length
            if (size > maxResponseBytes) respond(false)
          },
          onResponseEnd: () => respond(true),
          onResponseError: (_controller, error) => end(false, () => failed(error))
        }
      )
      return Effect.sync(() => {
        if (!isEnded) connections.release(connection, false)
        isEnded = true
        deadlines.drop(deadline)
      })
    })

  const parse = (text: string) => {
    const known = parsed.get(text)
    if (known !== undefined) {
      parsed.set(text, known)
      return Effect.succeed(known)
    }
    return TargetUrl.parse(text, rules).pipe(
      Effect.tap((url) => Effect.sync(() => parsed.set(text, url))),
      Effect.mapError(failed)
    )
  }

  /** Ends with a slot. Interruption at any point leaks neither a waiter nor a slot. */
  const waitForSlot = (host: string, { key, patience }: Target) =>
    Effect.callback<void, HostBusy>((resume) => {
      let hasSlot = false
      const reject = () => resume(new HostBusy({ host }))
      const leave = slots.wait(host, key, () => {
        hasSlot = true
        deadlines.drop(deadline)
        resume(Effect.void)
      })
      const expire = () => {
        leave?.()
        reject()
      }
      const deadline = { at: deadlines.now() + Duration.toMillis(patience), expire }
      if (leave === undefined || Duration.isZero(patience)) return expire()
      deadlines.add(deadline)
      return Effect.sync(() => {
        deadlines.drop(deadline)
        leave()
        if (hasSlot) slots.release(host)
      })
    })

  return WebhookClient.of({
    check: Effect.fn("WebhookClient.check")(function* (text) {
      const url = yield* TargetUrl.parse(text, rules)
      yield* TargetUrl.resolve(TargetUrl.hostOf(url), rules).pipe(
        Effect.catchIf(
          ({ isTemporary }) => isTemporary,
          () => Effect.void
        )
      )
      return url
    }),
    withHost: (target, use) =>
      Effect.matchEffect(parse(target.url), {
        onFailure: (error) => use(() => error),
        onSuccess: (url) => {
          const host = TargetUrl.hostOf(url)
          const post: Post = (request) =>
            bulkhead.run(host)(Effect.flatMap(undici, (loaded) => exchange(loaded, url, request)))
          return Effect.uninterruptibleMask((restore) => {
            // The slot is taken where nothing interrupts, also what is pending.
            const used = Effect.onExitPrimitive(
              Effect.suspend(() => restore(use(post))),
              () => {
                slots.release(host)
                return undefined
              }
            )
            return Effect.suspend(() =>
              slots.tryTake(host) ? used : Effect.andThen(restore(waitForSlot(host, target)), used)
            )
          })
        }
      })
  })
})

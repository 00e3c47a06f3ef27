/** Credentials, tokens and V4 signatures from Google's client library. Requests for objects do not use the library. */
import { Storage as Library } from "@google-cloud/storage"
import { Clock, Duration, Effect, Option, Predicate, Schema } from "effect"
import * as fs from "node:fs"
import type { GcsConfig } from "./GcsConfig.ts"
import { permanent, transient, GcsFault, fromStatus, reasonOf } from "./Fault.ts"

const google = "https://storage.googleapis.com"

/** Milliseconds for which a token is cached, and the minimum time between renewals after a 401. */
const tokenTtl = 10_000

export interface Credentials {
  /** The service account's email address, if the key file has one. */
  readonly account: string | undefined
  /** Without a trailing `/`. */
  readonly origin: string
  /** The headers of a request. Obtains a token when none is valid. */
  readonly headers: Effect.Effect<Readonly<Record<string, string>>, GcsFault>
  /** A V4-signed URL for a GET. Both times are Unix milliseconds of whole seconds. */
  readonly sign: (key: string, from: number, until: number) => Effect.Effect<string, GcsFault>
  /** Discards a rejected token, so that the next request obtains a new one; at most once in 10 seconds. */
  readonly discardToken: () => void
}

/** The fields of a credential file whose absence the library reports unclearly. */
const KeyFile = Schema.StructWithRest(
  Schema.Struct({ type: Schema.String, client_email: Schema.optionalKey(Schema.String) }),
  [Schema.Record(Schema.String, Schema.Unknown)]
)

const readKeyFile = (path: string): Effect.Effect<typeof KeyFile.Type, GcsFault> =>
  Effect.try({
    try: () => fs.readFileSync(path, "utf8"),
    catch: (cause) => permanent(`the key file can't be read: ${reasonOf(cause)}`)
  }).pipe(
    Effect.flatMap((text) =>
      Effect.mapError(Schema.decodeEffect(Schema.fromJsonString(KeyFile))(text), () =>
        permanent(`the key file ${path} does not hold Google credentials`)
      )
    )
  )

/** Codes of network errors, matched in the message because the library wraps the original error. */
const networkError = /\b(ECONN[A-Z]+|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|EPIPE|EHOSTUNREACH|ENETUNREACH|UND_ERR\w*)\b/

/** A network error is transient; a rejection by the token server means that the credentials are wrong. */
const fault =
  (what: string) =>
  (cause: unknown): GcsFault => {
    const reason = `${what}: ${reasonOf(cause).split("\n")[0] ?? ""}`
    if (Predicate.hasProperty(cause, "status") && typeof cause.status === "number") {
      const { isTransient, status } = fromStatus(cause.status, reason)
      return new GcsFault({ status: isTransient ? status : 401, reason, isTransient })
    }
    return networkError.test(reason) ? transient(reason) : permanent(reason)
  }

const anonymous = (origin: string): Credentials => ({
  account: undefined,
  origin,
  headers: Effect.succeed({}),
  discardToken: () => {},
  sign: () => Effect.fail(permanent("there are no credentials to sign with (SPILLWAY_GCS_KEY_FILE)"))
})

/** Caches the headers: asking the library costs as much as a short read, and it renews tokens minutes before they expire. */
const cached = <A, E>(clock: Clock.Clock, ask: Effect.Effect<A, E>) => {
  let known: { readonly value: Effect.Effect<A>; readonly until: number } | undefined
  const get = Effect.suspend((): Effect.Effect<A, E> => {
    if (known !== undefined && clock.currentTimeMillisUnsafe() < known.until) return known.value
    return Effect.tap(ask, (value) =>
      Effect.sync(() => {
        known = { value: Effect.succeed(value), until: clock.currentTimeMillisUnsafe() + tokenTtl }
      })
    )
  })
  const forget = () => {
    known = undefined
  }
  return { get, forget }
}

/** Fails when the key file is unusable. Other missing credentials are found with the first token. */
export const make = Effect.fnUntraced(function* (config: GcsConfig["Service"], bucket: string) {
  const origin = Option.getOrElse(config.endpoint, () => google).replace(/\/$/, "")
  const key = yield* Effect.transposeOption(Option.map(config.keyFile, readKeyFile))
  if (origin.startsWith("http:") && Option.isNone(key)) return anonymous(origin)
  const connect = () => {
    // No request needs a project; without a project ID the library first queries another service for it.
    const library = new Library({ apiEndpoint: origin, projectId: "unused", retryOptions: { autoRetry: false } })
    // The library prints a warning when this is passed as an option. It validates each field itself.
    if (Option.isSome(key)) Object.assign(library.authClient, { jsonContent: key.value })
    // A service account's key then signs tokens locally, without a token server.
    library.authClient.useJWTAccessWithScope = true
    return library
  }
  let library = yield* Effect.try({ try: connect, catch: fault("no credentials") })
  /** The library has no timeout and makes later callers wait for the same response, so a timeout replaces it. */
  const asking = <A>(what: string, ask: (library: Library) => Promise<A>): Effect.Effect<A, GcsFault> =>
    Effect.timeoutOrElse(Effect.tryPromise({ try: () => ask(library), catch: fault(what) }), {
      duration: config.attemptTimeout,
      orElse: () => {
        library = connect()
        return Effect.fail(transient(`${what}: no answer for ${Duration.format(config.attemptTimeout)}`))
      }
    })
  const ask = Effect.map(
    asking("no token", ({ authClient }) => authClient.getRequestHeaders()),
    (headers) => Object.fromEntries(headers)
  )
  const clock = yield* Clock.Clock
  const headers = cached(clock, ask)
  let since = Number.NEGATIVE_INFINITY
  const credentials: Credentials = {
    account: Option.getOrUndefined(key)?.client_email,
    origin,
    headers: headers.get,
    discardToken: () => {
      const now = clock.currentTimeMillisUnsafe()
      if (now >= since && now < since + tokenTtl) return
      since = now
      library = connect()
      headers.forget()
    },
    sign: (name, from, until) =>
      Effect.map(
        asking("no signature", (library) =>
          library
            .bucket(bucket)
            .file(name)
            .getSignedUrl({ version: "v4", action: "read", accessibleAt: from, expires: until })
        ),
        ([url]) => url
      )
  }
  return credentials
})

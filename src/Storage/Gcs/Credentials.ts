/** Google's client library: who we are, tokens that say so, and V4 signatures. No request for data goes through it. */
import { Storage as Library } from "@google-cloud/storage"
import { Clock, Duration, Effect, Option, Predicate, Schema } from "effect"
import * as fs from "node:fs"
import type { GcsConfig } from "./GcsConfig.ts"
import { permanent, transient, GcsFault, ofStatus, reasonOf } from "./Fault.ts"

/** Google's own address. */
const google = "https://storage.googleapis.com"

/** Milliseconds. */
const askEvery = 10_000

export interface Credentials {
  /** The service account's address, where the key file has it. */
  readonly account: string | undefined
  /** Without a `/` at its end. */
  readonly origin: string
  /** What a request carries; a token is fetched or signed when there is none that holds. */
  readonly headers: Effect.Effect<Readonly<Record<string, string>>, GcsFault>
  /** A V4-signed URL for a GET, from one moment to another, both in unix milliseconds and whole seconds. */
  readonly sign: (key: string, from: number, until: number) => Effect.Effect<string, GcsFault>
  /** A request's token was refused: the next request gets a new one, unless one was made for this reason within 10 seconds. */
  readonly refused: () => void
}

/** Of a credential file, only what the library does not say clearly when it is wrong. */
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

/** Errors of the network; where the library wraps them, only its message has the code. */
const onTheWay = /\b(ECONN[A-Z]+|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|EPIPE|EHOSTUNREACH|ENETUNREACH|UND_ERR\w*)\b/

/** What failed on the way to a token server may go better next time; its refusal means that we are not who we say. */
const fault =
  (what: string) =>
  (cause: unknown): GcsFault => {
    const reason = `${what}: ${reasonOf(cause).split("\n")[0] ?? ""}`
    if (Predicate.hasProperty(cause, "status") && typeof cause.status === "number") {
      const { isTransient, status } = ofStatus(cause.status, reason)
      return new GcsFault({ status: isTransient ? status : 401, reason, isTransient })
    }
    return onTheWay.test(reason) ? transient(reason) : permanent(reason)
  }

/** Nobody: for an emulator. */
const anonymous = (origin: string): Credentials => ({
  account: undefined,
  origin,
  headers: Effect.succeed({}),
  refused: () => {},
  sign: () => Effect.fail(permanent("there are no credentials to sign with (SPILLWAY_GCS_KEY_FILE)"))
})

/** The library renews a token minutes before its end; asking it every time costs as much as a short read. */
const remembered = <A, E>(clock: Clock.Clock, ask: Effect.Effect<A, E>) => {
  let known: { readonly value: Effect.Effect<A>; readonly until: number } | undefined
  const get = Effect.suspend((): Effect.Effect<A, E> => {
    if (known !== undefined && clock.currentTimeMillisUnsafe() < known.until) return known.value
    return Effect.tap(ask, (value) =>
      Effect.sync(() => {
        known = { value: Effect.succeed(value), until: clock.currentTimeMillisUnsafe() + askEvery }
      })
    )
  })
  const forget = () => {
    known = undefined
  }
  return { get, forget }
}

/** Fails when the key file can't be used; that others are missing is found out with the first token. */
export const make = Effect.fnUntraced(function* (config: GcsConfig["Service"], bucket: string) {
  const origin = Option.getOrElse(config.endpoint, () => google).replace(/\/$/, "")
  const key = yield* Effect.transposeOption(Option.map(config.keyFile, readKeyFile))
  if (origin.startsWith("http:") && Option.isNone(key)) return anonymous(origin)
  const connect = () => {
    // Nothing here needs a project; without a name for it, the library asks another service of Google's first.
    const library = new Library({ apiEndpoint: origin, projectId: "unused", retryOptions: { autoRetry: false } })
    // Not as an option, for which the library prints a warning. It looks at every field itself.
    if (Option.isSome(key)) Object.assign(library.authClient, { jsonContent: key.value })
    // A service account's key signs its tokens itself, so that no token server is on the way.
    library.authClient.useJWTAccessWithScope = true
    return library
  }
  let library = yield* Effect.try({ try: connect, catch: fault("no credentials") })
  /** The library waits without end for its servers, and lets whoever asks later wait for the same answer: then it is replaced. */
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
  const headers = remembered(clock, ask)
  let since = Number.NEGATIVE_INFINITY
  const credentials: Credentials = {
    account: Option.getOrUndefined(key)?.client_email,
    origin,
    headers: headers.get,
    refused: () => {
      const now = clock.currentTimeMillisUnsafe()
      if (now >= since && now < since + askEvery) return
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

/** Google's client library: who we are, tokens that say so, and V4 signatures. No request for data goes through it. */
import { Storage as Library } from "@google-cloud/storage"
import { Clock, Effect, Option, Predicate, Schema } from "effect"
import * as fs from "node:fs"
import type { GcsConfig } from "./GcsConfig.ts"
import { broken, cut, GcsFault, reasonOf } from "./GcsFault.ts"

/** Google's own address. */
const google = "https://storage.googleapis.com"

/** Milliseconds. */
const askEvery = 10_000

export interface GcsCredentials {
  /** Without a `/` at its end. */
  readonly origin: string
  /** What a request carries; a token is fetched or signed when there is none that holds. */
  readonly headers: Effect.Effect<Readonly<Record<string, string>>, GcsFault>
  /** A V4-signed URL for a GET, from one moment to another, both in unix milliseconds and whole seconds. */
  readonly sign: (key: string, from: number, until: number) => Effect.Effect<string, GcsFault>
}

/** Of a credential file, only what the library does not say clearly when it is wrong. */
const KeyFile = Schema.StructWithRest(Schema.Struct({ type: Schema.String }), [
  Schema.Record(Schema.String, Schema.Unknown)
])

const readKeyFile = (path: string): Effect.Effect<typeof KeyFile.Type, GcsFault> =>
  Effect.try({
    try: () => fs.readFileSync(path, "utf8"),
    catch: (cause) => broken(`the key file can't be read: ${reasonOf(cause)}`)
  }).pipe(
    Effect.flatMap((text) =>
      Effect.mapError(Schema.decodeEffect(Schema.fromJsonString(KeyFile))(text), () =>
        broken(`the key file ${path} does not hold Google credentials`)
      )
    )
  )

/** Codes of errors of the network. */
const onTheWay = /^(ECONN|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|EPIPE|EHOSTUNREACH|ENETUNREACH|UND_ERR)/

/** Answers of a token server have a status; what failed on the way to it may go better next time. */
const fault = (cause: unknown): GcsFault => {
  const reason = `no token: ${reasonOf(cause).split("\n")[0] ?? ""}`
  if (Predicate.hasProperty(cause, "status") && typeof cause.status === "number") {
    const { status } = cause
    return new GcsFault({ status, reason, isTransient: status === 408 || status === 429 || status >= 500 })
  }
  const code = Predicate.hasProperty(cause, "code") ? String(cause.code) : ""
  return onTheWay.test(code) ? cut(reason) : broken(reason)
}

/** Nobody: for an emulator. */
const anonymous = (origin: string): GcsCredentials => ({
  origin,
  headers: Effect.succeed({}),
  sign: () => Effect.fail(broken("there are no credentials to sign with (SPILLWAY_GCS_KEY_FILE)"))
})

/** The library renews a token minutes before its end; asking it every time costs as much as a short read. */
const remembered = <A, E>(clock: Clock.Clock, ask: Effect.Effect<A, E>): Effect.Effect<A, E> => {
  let known: { readonly value: Effect.Effect<A>; readonly until: number } | undefined
  return Effect.suspend((): Effect.Effect<A, E> => {
    if (known !== undefined && clock.currentTimeMillisUnsafe() < known.until) return known.value
    return Effect.tap(ask, (value) =>
      Effect.sync(() => {
        known = { value: Effect.succeed(value), until: clock.currentTimeMillisUnsafe() + askEvery }
      })
    )
  })
}

/** Fails when the key file can't be used; that others are missing is found out with the first token. */
export const make = Effect.fnUntraced(function* (config: GcsConfig["Service"], bucket: string) {
  const origin = Option.getOrElse(config.endpoint, () => google).replace(/\/$/, "")
  const key = yield* Effect.transposeOption(Option.map(config.keyFile, readKeyFile))
  if (origin.startsWith("http:") && Option.isNone(key)) return anonymous(origin)
  const library = yield* Effect.try({
    try: () => new Library({ apiEndpoint: origin, retryOptions: { autoRetry: false } }),
    catch: fault
  })
  const auth = library.authClient
  // Not as an option, for which the library prints a warning. It looks at every field itself.
  if (Option.isSome(key)) Object.assign(auth, { jsonContent: key.value })
  // A service account's key signs its tokens itself, so that no token server is on the way.
  auth.useJWTAccessWithScope = true
  const ask = Effect.map(Effect.tryPromise({ try: () => auth.getRequestHeaders(), catch: fault }), (headers) =>
    Object.fromEntries(headers)
  )
  const credentials: GcsCredentials = {
    origin,
    headers: remembered(yield* Clock.Clock, ask),
    sign: (name, from, until) =>
      Effect.map(
        Effect.tryPromise({
          try: () =>
            library
              .bucket(bucket)
              .file(name)
              .getSignedUrl({ version: "v4", action: "read", accessibleAt: from, expires: until }),
          catch: fault
        }),
        ([url]) => url
      )
  }
  return credentials
})

/** Playback over a real socket, on recordings in memory, for three keys: two users and a service. */
import { assert } from "@effect/vitest"
import { DateTime, Effect, Exit, Layer, Option, Redacted, Schema } from "effect"
import { HttpClient, HttpClientRequest } from "effect/http"
import { BulkheadConfig } from "../../../src/Bulkhead/BulkheadConfig.ts"
import { Keys } from "../../../src/Auth/Keys.ts"
import * as Http from "../../../src/Playback/Http.ts"
import { Playback, PlaybackConfig } from "../../../src/Playback.ts"
import { AudioUrlsInfo } from "../../../src/Playback/Urls/UrlsApi.ts"
import { UrlSecret } from "../../../src/Playback/Urls/UrlSecret.ts"
import { PublicUrl } from "../../../src/PublicUrl.ts"
import { environment, served } from "../../Http/support/Served.ts"
import type { MemoryRecording } from "./MemoryRecording.ts"

const key = (uid: string) => ({
  id: `key_${uid}`,
  uid,
  scopes: uid === "backend" ? (["service"] as const) : [],
  createdAt: DateTime.makeUnsafe(0),
  expiresAt: Option.none()
})

/** The key of `ada` is `spw_ada`. */
const cached = (secret: string) => {
  const uid = /^spw_(ada|grace|backend)$/.exec(secret)?.[1]
  return Exit.succeed(Option.map(Option.fromNullishOr(uid), key))
}

const keys = Layer.mock(Keys, { find: (secret) => cached(Redacted.value(secret)), cached })

/** Not where the server listens. */
export const origin = "https://spillway.test"

const secret = Layer.succeed(UrlSecret, { read: Effect.succeed(Buffer.alloc(32, 7)) })

export const servedPlayback = (recording: MemoryRecording, env: Record<string, string> = {}) =>
  served(Http.layer).pipe(
    Layer.provide([keys, recording.layer, Playback.layer.pipe(Layer.provide([recording.layer, PlaybackConfig.layer]))]),
    Layer.provide([PlaybackConfig.layer, BulkheadConfig.layer]),
    Layer.provide([Layer.succeed(PublicUrl, { base: () => origin, setPort: () => {} }), secret]),
    Layer.provide(environment(env))
  )

export const request = (path: string, headers: Record<string, string> = {}, method: "GET" | "HEAD" = "GET") =>
  HttpClient.execute(
    HttpClientRequest.make(method)(path).pipe(
      HttpClientRequest.setHeaders({ authorization: "Bearer spw_ada", ...headers })
    )
  )

/** The response with its complete body. */
export const get = (path: string, headers: Record<string, string> = {}, method: "GET" | "HEAD" = "GET") =>
  Effect.gen(function* () {
    const response = yield* request(path, headers, method)
    const body = Buffer.from(yield* response.arrayBuffer)
    return { status: response.status, headers: response.headers, body }
  })

const Urls = Schema.fromJsonString(AudioUrlsInfo)

/** The URLs of a conversation of `ada`, and the response. */
export const urlsOf = (conversation: string, query = "") =>
  Effect.gen(function* () {
    const response = yield* get(`/v1/sync/audio/${conversation}/urls${query}`)
    assert.strictEqual(response.status, 200)
    return { ...response, urls: yield* Schema.decodeEffect(Urls)(response.body.toString()) }
  })

/** The path of a signed URL. */
export const signedPath = (url: string | undefined): string => {
  assert.isTrue(url?.startsWith(`${origin}/v1/audio/`))
  return url?.slice(origin.length) ?? ""
}

/** As `get`, without a key. */
export const getSigned = (path: string, headers: Record<string, string> = {}, method: "GET" | "HEAD" = "GET") =>
  get(path, { authorization: "", ...headers }, method)

/**
 * Which pages of other origins can read responses. Effect's `HttpMiddleware.cors` sets headers on its own responses only,
 * and audio is sent with a head that is written below them.
 */
import type { IncomingMessage, ServerResponse } from "node:http"
import { Effect, Option } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import { HttpConfig } from "./HttpConfig.ts"
import { Methods } from "./Methods.ts"

/** Headers of responses that scripts can read, besides those that they always can. */
const exposed = [
  "Content-Range",
  "Accept-Ranges",
  "ETag",
  "Content-Length",
  "Content-Disposition",
  "Spillway-Lost-Seconds",
  "Retry-After"
]

/** Headers that scripts can send. */
const accepted = ["Authorization", "Range", "If-Range", "If-Match", "If-None-Match", "Content-Type"]

/** Seconds for which a browser repeats no preflight of a URL. Chromium allows no more. */
const maxAge = 7_200

/** Without any, responses have no header for other origins. */
export function originsOf({ corsOrigins }: HttpConfig["Service"]): ReadonlySet<string> {
  return new Set(Option.match(corsOrigins, { onNone: () => [], onSome: (text) => text.split(",") }))
}

/** Sets the headers of a response that is not begun: what writes its head, also an error, adds to them. */
export function share(origins: ReadonlySet<string>, { headers }: IncomingMessage, response: ServerResponse): void {
  if (origins.size === 0) return
  response.setHeader("vary", "Origin")
  if (headers.origin === undefined || !origins.has(headers.origin)) return
  response.setHeader("access-control-allow-origin", headers.origin)
  response.setHeader("access-control-expose-headers", exposed.join(", "))
}

const preflight = (methods: ReadonlyArray<string>) =>
  HttpServerResponse.empty({
    status: 204,
    headers: {
      "access-control-allow-methods": [...methods, ...(methods.includes("GET") ? ["HEAD"] : [])].join(", "),
      "access-control-allow-headers": accepted.join(", "),
      "access-control-max-age": String(maxAge)
    }
  })

/** Answers preflights for existing paths. Others are answered as any request with the method OPTIONS is. */
export const layer = HttpRouter.middleware(
  Effect.gen(function* () {
    const origins = originsOf(yield* HttpConfig)
    const { allowed } = yield* Methods
    return (effect) =>
      Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ headers, method, url }) => {
        const isPreflight = method === "OPTIONS" && headers["access-control-request-method"] !== undefined
        const methods = isPreflight && origins.has(headers["origin"] ?? "") ? allowed(url) : []
        return methods.length > 0 ? Effect.succeed(preflight(methods)) : effect
      })
  }),
  { global: true }
)

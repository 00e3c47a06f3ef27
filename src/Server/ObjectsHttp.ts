/**
 * `/objects`: what a signed URL of this server is good for. No key is asked for; the signature is the permission. It is one
 * for GET alone: HEAD is answered 403, as Google Cloud Storage and S3 do for a URL that was signed for GET.
 */
import { Clock, Effect, Layer } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import { Seats } from "../Bulkhead.ts"
import { byteRange, EntityTag, Problem, Problems } from "../Http.ts"
import { type ObjectHead, Storage } from "../Storage.ts"
import { ObjectUrls, path } from "../Storage/Disk/ObjectUrls.ts"
import * as Validation from "../Storage/Validation.ts"
import { StorageConfig } from "../Storage/StorageConfig.ts"

/** The same for all that is wrong with a URL, so that nothing can be learned from trying. */
const refused = new Problem({
  status: 403,
  code: "url-not-valid",
  title: "The URL is not valid",
  detail: "It has expired, was changed, or is for another method."
})

/** The user's id follows these; other names begin with it. */
const kinds = new Set(["chunks", "merged", "syncing"])

const ownerOf = (key: string): string => {
  const [first = "", second] = key.split("/")
  return second !== undefined && kinds.has(first) ? second : first
}

const respond = (request: HttpServerRequest.HttpServerRequest, storage: Storage["Service"], head: ObjectHead) => {
  const etag = `"${head.generation}"`
  const headers = {
    etag,
    "accept-ranges": "bytes",
    "cache-control": "private",
    "x-content-type-options": "nosniff"
  }
  if (!EntityTag.isNoneMatch(request.headers["if-none-match"], etag)) {
    return HttpServerResponse.empty({ status: 304, headers })
  }
  const isSame = EntityTag.isSameRange(request.headers["if-range"], etag)
  const asked = byteRange(isSame ? request.headers["range"] : undefined, head.size)
  if (asked === "unsatisfiable") return Problem.rangeNotSatisfiable(head.size).response
  if (asked === "whole") {
    return HttpServerResponse.stream(storage.get(head.key), {
      contentType: head.contentType,
      contentLength: head.size,
      headers
    })
  }
  return HttpServerResponse.stream(storage.get(head.key, asked), {
    status: 206,
    contentType: head.contentType,
    contentLength: asked.end - asked.start,
    headers: { ...headers, "content-range": `bytes ${asked.start}-${asked.end - 1}/${head.size}` }
  })
}

export const layer = HttpRouter.use(
  Effect.fnUntraced(function* (router) {
    const storage = yield* Storage
    const urls = yield* ObjectUrls
    const problems = yield* Problems
    const config = yield* StorageConfig
    const { urlResponses, urlResponsesPerUser } = StorageConfig.settings
    const seats = yield* Seats.make("object responses", {
      node: { limit: config.urlResponses, setting: urlResponses.env },
      user: { limit: config.urlResponsesPerUser, setting: urlResponsesPerUser.env }
    })

    const serve = Effect.fn("Objects.serve")(function* (request: HttpServerRequest.HttpServerRequest) {
      const [target = "", query = ""] = request.url.split("?", 2)
      const key = target.slice(path.length)
      const parameters = new URLSearchParams(query)
      const claim = { method: request.method, key, expires: parameters.get("expires") ?? "" }
      if (!(yield* urls.isValid(claim, parameters.get("signature") ?? ""))) return yield* refused
      // The request's scope lasts until the response is sent.
      yield* seats.take(ownerOf(key))
      const head = yield* Effect.catchTag(storage.head(key), "ObjectNotFound", () =>
        Problem.notFound("There is no such object.")
      )
      if ((yield* Clock.currentTimeMillis) >= Validation.objectExpiry(head.metadata)) return yield* refused
      return respond(request, storage, head)
    })

    yield* router.add("*", `${path}*`, (request) =>
      serve(request).pipe(
        problems.answer,
        Effect.catchTag("Problem", (problem) => Effect.succeed(problem.response))
      )
    )
  })
).pipe(Layer.provide(ObjectUrls.layer))

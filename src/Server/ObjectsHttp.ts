/** `/objects`: objects of the disk store by URLs that are signed for GET. HEAD is 403, as in Google Cloud Storage and S3. */
import { Clock, Effect, Layer } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import { Seats } from "../Bulkhead.ts"
import { Problem, ProblemRules, RangeRequest } from "../Http.ts"
import { type ObjectHead, Storage } from "../Storage.ts"
import { ObjectUrls, path } from "../Storage/Disk/ObjectUrls.ts"
import * as Validation from "../Storage/Validation.ts"
import { StorageConfig } from "../Storage/StorageConfig.ts"

/** One response for every invalid URL, so that guesses reveal nothing. */
const rejected = new Problem({
  status: 403,
  code: "url-not-valid",
  title: "The URL is not valid",
  detail: "It has expired, was changed, or is for another method."
})

/** Key prefixes that the uid follows; other keys begin with the uid. */
const prefixes = new Set(["chunks", "merged", "syncing"])

const ownerOf = (key: string): string => {
  const [first = "", second] = key.split("/")
  return second !== undefined && prefixes.has(first) ? second : first
}

const respond = (request: HttpServerRequest.HttpServerRequest, storage: Storage["Service"], head: ObjectHead) => {
  const etag = `"${head.generation}"`
  const headers = {
    etag,
    "accept-ranges": "bytes",
    "cache-control": "private",
    "x-content-type-options": "nosniff"
  }
  if (!RangeRequest.isNoneMatch(request.headers["if-none-match"], etag)) {
    return HttpServerResponse.empty({ status: 304, headers })
  }
  const isSame = RangeRequest.isSameRange(request.headers["if-range"], etag)
  const range = RangeRequest.byteRange(isSame ? request.headers["range"] : undefined, head.size)
  if (range === "unsatisfiable") return Problem.rangeNotSatisfiable(head.size).response
  if (range === "whole") {
    return HttpServerResponse.stream(storage.get(head.key), {
      contentType: head.contentType,
      contentLength: head.size,
      headers
    })
  }
  return HttpServerResponse.stream(storage.get(head.key, range), {
    status: 206,
    contentType: head.contentType,
    contentLength: range.end - range.start,
    headers: { ...headers, "content-range": `bytes ${range.start}-${range.end - 1}/${head.size}` }
  })
}

export const layer = HttpRouter.use(
  Effect.fnUntraced(function* (router) {
    const storage = yield* Storage
    const urls = yield* ObjectUrls
    const problems = yield* ProblemRules
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
      if (!(yield* urls.isValid(claim, parameters.get("signature") ?? ""))) return yield* rejected
      // The request's scope closes when the response has been sent.
      yield* seats.take(ownerOf(key))
      const head = yield* Effect.catchTag(storage.head(key), "ObjectNotFound", () =>
        Problem.notFound("There is no such object.")
      )
      if ((yield* Clock.currentTimeMillis) >= Validation.objectExpiry(head.metadata)) return yield* rejected
      return respond(request, storage, head)
    })

    yield* router.add("*", `${path}*`, (request) => serve(request).pipe(problems.respond))
  })
).pipe(Layer.provide(ObjectUrls.layer))

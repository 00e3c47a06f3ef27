/** What the HTTP framework itself fails with, as problems: no route, a body that is too large, a request that does not decode. */
import { HttpServerError, Multipart } from "effect/http"
import { HttpApiError } from "effect/http-api"
import { Problem } from "./Problem.ts"

const ofServer = ({ reason }: HttpServerError.HttpServerError): Problem | undefined => {
  if (reason._tag === "RouteNotFound") return Problem.notFound("There is no such path.")
  if (reason._tag !== "RequestParseError") return undefined
  return reason.reason === "BodyTooLarge"
    ? Problem.tooLarge("The body is larger than the server takes.")
    : Problem.badRequest("The request could not be read to its end.")
}

const ofMultipart = ({ reason }: Multipart.MultipartError): Problem | undefined => {
  if (reason._tag === "InternalError") return undefined
  return reason._tag === "Parse"
    ? Problem.badRequest("The body is not valid multipart/form-data.")
    : Problem.tooLarge(`The body is larger than the server takes (${reason._tag}).`)
}

/** `undefined` for what is no fault of the request. */
export function rule(error: unknown): Problem | undefined {
  if (HttpServerError.isHttpServerError(error)) return ofServer(error)
  if (HttpApiError.HttpApiPayloadTooLarge.is(error))
    return Problem.tooLarge("The body is larger than the server takes.")
  if (error instanceof Multipart.MultipartError) return ofMultipart(error)
  if (!HttpApiError.HttpApiSchemaError.is(error)) return undefined
  const ours = error.kind === "Body" || error.kind === "ResponseHeaders"
  return ours ? undefined : Problem.invalid(error.kind.toLowerCase(), error.cause)
}

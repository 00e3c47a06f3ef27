/** What the operating system says about a failed call, for messages: `permission denied`. */
import { PlatformError } from "effect"

/** Node's messages are `EACCES: permission denied, open '/x'`. */
const form = /^[A-Z][A-Z\d]*: ([^,]+)/

/** Of an error of Effect's platform or of Node; the message of any other. */
export function systemReason(error: unknown): string {
  const isPlatform = error instanceof PlatformError.PlatformError
  const cause = isPlatform ? error.reason.cause : error
  const found = cause instanceof Error ? form.exec(cause.message)?.[1] : undefined
  if (found !== undefined) return found
  return isPlatform ? error.reason.message : error instanceof Error ? error.message : String(error)
}

/** With the path that it is about: `permission denied: /x`. */
export function systemReasonAt(error: PlatformError.PlatformError): string {
  const { reason } = error
  const path = reason._tag === "BadArgument" ? undefined : reason.pathOrDescriptor
  return typeof path === "string" ? `${systemReason(error)}: ${path}` : systemReason(error)
}

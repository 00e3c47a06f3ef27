/** What the operating system says about a failed call, for messages: `permission denied`. */
import type { PlatformError } from "effect"

/** Node's messages are `EACCES: permission denied, open '/x'`. */
const form = /^[A-Z][A-Z\d]*: ([^,]+)/

export function systemReason({ reason }: PlatformError.PlatformError): string {
  const { cause } = reason
  return (cause instanceof Error ? form.exec(cause.message)?.[1] : undefined) ?? reason.message
}

/** With the path that it is about: `permission denied: /x`. */
export function systemReasonAt(error: PlatformError.PlatformError): string {
  const { reason } = error
  const path = reason._tag === "BadArgument" ? undefined : reason.pathOrDescriptor
  return typeof path === "string" ? `${systemReason(error)}: ${path}` : systemReason(error)
}

/** Expected failures are told in one line, by their messages; stack traces and fields are for bugs. */
import { Cause, Logger, Predicate } from "effect"

const isText = (text: unknown): text is string => typeof text === "string" && text !== ""

/** What failed, and the innermost reason unless that is a part of it. */
const reasonOf = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error)
  const said = isText(error.message) ? error.message : error.name
  if (error.cause === undefined || error.cause === null) return said
  const inner = reasonOf(error.cause)
  return said.includes(inner) ? said : `${said}: ${inner}`
}

const isExpected = (error: unknown): error is Error => error instanceof Error && Predicate.hasProperty(error, "_tag")

const told = (part: unknown): unknown => (isExpected(part) ? reasonOf(part) : part)

/** The typed failures of a cause in which there is nothing else. */
const failures = (cause: Cause.Cause<unknown>): ReadonlyArray<unknown> =>
  cause.reasons.every((reason) => reason._tag === "Fail")
    ? cause.reasons.flatMap((reason) => (reason._tag === "Fail" ? [reason.error] : []))
    : []

export function layerOf<Output>(logger: Logger.Logger<unknown, Output>) {
  return Logger.layer([
    Logger.make<unknown, Output>((options) => {
      const parts: ReadonlyArray<unknown> = Array.isArray(options.message) ? options.message : [options.message]
      const failed = failures(options.cause)
      const isFolded = failed.length > 0 || parts.some(isExpected)
      if (!isFolded) return logger.log(options)
      const all = [...parts.map(told), ...failed.map(reasonOf)]
      const message = all.every(isText) ? [all.join(": ")] : all
      return logger.log({ ...options, message, cause: failed.length > 0 ? Cause.empty : options.cause })
    })
  ])
}

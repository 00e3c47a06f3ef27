/** A failed request to Google Cloud Storage: whether it is retryable, and the error that callers of the store get. */
import { Data } from "effect"
import { StorageRefused, StorageUnavailable } from "../../Storage.ts"
import type { At } from "../Validation.ts"

export class GcsFault extends Data.TaggedError("GcsFault")<{
  /** Status of the response; undefined when no usable response arrived. */
  readonly status: number | undefined
  readonly isTransient: boolean
  readonly reason: string
}> {
  override get message() {
    return this.status === undefined ? this.reason : `${this.reason} (${this.status})`
  }
}

/** 408, 429 and 5xx are transient. */
export function fromStatus(status: number, reason: string) {
  return new GcsFault({ status, isTransient: status === 408 || status === 429 || status >= 500, reason })
}

/** A retryable fault without a status: no response, or a truncated one. */
export function transient(reason: string) {
  return new GcsFault({ status: undefined, isTransient: true, reason })
}

/** A fault without a status that no retry can repair. */
export function permanent(reason: string) {
  return new GcsFault({ status: undefined, isTransient: false, reason })
}

export function translate(at: At) {
  return (fault: GcsFault): StorageRefused | StorageUnavailable =>
    fault.isTransient
      ? new StorageUnavailable({ ...at, cause: fault.message })
      : new StorageRefused({ ...at, reason: fault.status === undefined ? fault.message : `refused: ${fault.message}` })
}

const described = (cause: unknown): string => {
  if (!(cause instanceof Error)) return String(cause)
  const code = "code" in cause && typeof cause.code === "string" ? cause.code : ""
  return cause.message.includes(code) ? cause.message : `${cause.message} (${code})`
}

/** The message and code of the innermost cause. */
export function reasonOf(cause: unknown): string {
  return cause instanceof Error && cause.cause !== undefined ? reasonOf(cause.cause) : described(cause)
}

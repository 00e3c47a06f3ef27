/** A request to Google Cloud Storage failed: whether it may be tried again, and what it means to the caller of the store. */
import { Data } from "effect"
import { StorageRefused, StorageUnavailable } from "../../Storage.ts"
import type { At } from "../Rules.ts"

export class GcsFault extends Data.TaggedError("GcsFault")<{
  /** Of the answer; undefined when there was none that could be used. */
  readonly status: number | undefined
  /** May be otherwise next time. */
  readonly isTransient: boolean
  readonly reason: string
}> {
  override get message() {
    return this.status === undefined ? this.reason : `${this.reason} (${this.status})`
  }
}

/** 408, 429 and 5xx are transient. */
export function ofStatus(status: number, reason: string) {
  return new GcsFault({ status, isTransient: status === 408 || status === 429 || status >= 500, reason })
}

/** No answer, or one that broke off. */
export function transient(reason: string) {
  return new GcsFault({ status: undefined, isTransient: true, reason })
}

/** An answer that no repetition mends. */
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

/** The innermost error says most. */
export function reasonOf(cause: unknown): string {
  return cause instanceof Error && cause.cause !== undefined ? reasonOf(cause.cause) : described(cause)
}

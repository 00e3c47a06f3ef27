/** Injected faults for the next matching requests. */
import { Schema } from "effect"

/** Sizes in bytes. */
export const Fault = Schema.Union([
  /** Responds with this status and does nothing. */
  Schema.Struct({ kind: Schema.tag("status"), status: Schema.Int }),
  /** Resets the connection after this many bytes of the request's body. */
  Schema.Struct({ kind: Schema.tag("resetUpload"), after: Schema.Int }),
  /** Reads this many bytes of the request's body and never responds. */
  Schema.Struct({ kind: Schema.tag("stallUpload"), after: Schema.Int }),
  /** Resets the connection after this many bytes of the response's body. */
  Schema.Struct({ kind: Schema.tag("resetDownload"), after: Schema.Int }),
  /** Stalls after this many bytes of the response's body. */
  Schema.Struct({ kind: Schema.tag("stallDownload"), after: Schema.Int }),
  /** Ends the response cleanly after this many bytes of its body. */
  Schema.Struct({ kind: Schema.tag("shorten"), after: Schema.Int }),
  /** Sends the response's body in pieces of this many bytes, one every 10 ms. */
  Schema.Struct({ kind: Schema.tag("slow"), piece: Schema.Int }),
  /** Flips a bit of the response's body. */
  Schema.Struct({ kind: Schema.tag("corruptDownload") }),
  /** Flips a bit of the uploaded body before it is checked. */
  Schema.Struct({ kind: Schema.tag("corruptUpload") }),
  /** Discards a chunk and reports this many bytes of the upload as persisted. */
  Schema.Struct({ kind: Schema.tag("committed"), bytes: Schema.Int }),
  /** Returns an empty page with a next page. */
  Schema.Struct({ kind: Schema.tag("emptyPage") }),
  /** Ignores the requested range. */
  Schema.Struct({ kind: Schema.tag("ignoreRange") }),
  /** Performs the request and resets the connection instead of responding. */
  Schema.Struct({ kind: Schema.tag("lose") }),
  /** Accepts the request and never responds. */
  Schema.Struct({ kind: Schema.tag("stall") })
])
export type Fault = typeof Fault.Type

/** `operation` is one of those in `Routes.ts`; `contains` is part of the decoded path and query. */
export const Rule = Schema.Struct({
  operation: Schema.optionalKey(Schema.String),
  contains: Schema.optionalKey(Schema.String),
  /** Matching requests to skip first. */
  skip: Schema.optionalKey(Schema.Int),
  /** Requests to affect; 1 by default. */
  times: Schema.optionalKey(Schema.Int),
  fault: Fault
})
export type Rule = typeof Rule.Type

export class Faults {
  /** Requests affected so far. */
  used = 0
  #rules: Array<{ readonly rule: Rule; skip: number; times: number }> = []

  add(...rules: ReadonlyArray<Rule>) {
    for (const rule of rules) this.#rules.push({ rule, skip: rule.skip ?? 0, times: rule.times ?? 1 })
  }

  clear() {
    this.#rules = []
  }

  /** Returns the fault for this request, and counts it. */
  next(operation: string, target: string): Fault | undefined {
    for (const each of this.#rules) {
      const { contains, fault, operation: wanted } = each.rule
      if (each.times === 0 || (wanted ?? operation) !== operation || !target.includes(contains ?? "")) continue
      if (each.skip > 0) {
        each.skip--
        continue
      }
      each.times--
      this.used++
      return fault
    }
    return undefined
  }
}

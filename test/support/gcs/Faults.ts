/** Faults on command: what is to go wrong with the next requests that match. */
import { Schema } from "effect"

/** Sizes in bytes. */
export const Fault = Schema.Union([
  /** Answers with this status and does nothing. */
  Schema.Struct({ kind: Schema.tag("status"), status: Schema.Int }),
  /** Cuts the connection when so much of the request's body is there. */
  Schema.Struct({ kind: Schema.tag("resetUpload"), after: Schema.Int }),
  /** Reads no more than so much of the request's body, and never answers. */
  Schema.Struct({ kind: Schema.tag("stallUpload"), after: Schema.Int }),
  /** Cuts the connection when so much of the response's body is sent. */
  Schema.Struct({ kind: Schema.tag("resetDownload"), after: Schema.Int }),
  /** Sends so much of the response's body and then nothing. */
  Schema.Struct({ kind: Schema.tag("stallDownload"), after: Schema.Int }),
  /** Ends the response cleanly after so much of its body, as if that were all. */
  Schema.Struct({ kind: Schema.tag("shorten"), after: Schema.Int }),
  /** Sends the response's body in pieces of so many bytes, one every 10 ms. */
  Schema.Struct({ kind: Schema.tag("slow"), piece: Schema.Int }),
  /** Turns a bit in the response's body. */
  Schema.Struct({ kind: Schema.tag("corruptDownload") }),
  /** Turns a bit in what was uploaded before it is looked at. */
  Schema.Struct({ kind: Schema.tag("corruptUpload") }),
  /** Takes nothing of a chunk, and says that so many bytes of the upload are there. */
  Schema.Struct({ kind: Schema.tag("committed"), bytes: Schema.Int }),
  /** Lists nothing, and says that there is more. */
  Schema.Struct({ kind: Schema.tag("emptyPage") }),
  /** Ignores the asked range. */
  Schema.Struct({ kind: Schema.tag("ignoreRange") }),
  /** Does what was asked and cuts the connection instead of answering. */
  Schema.Struct({ kind: Schema.tag("lose") }),
  /** Takes the request and never answers. */
  Schema.Struct({ kind: Schema.tag("stall") })
])
export type Fault = typeof Fault.Type

/** `operation` is one of those in `Routes.ts`; `contains` is part of the decoded path and query. */
export const Rule = Schema.Struct({
  operation: Schema.optionalKey(Schema.String),
  contains: Schema.optionalKey(Schema.String),
  /** How many matching requests pass before. */
  skip: Schema.optionalKey(Schema.Int),
  /** How many it is done to; 1 unless told. */
  times: Schema.optionalKey(Schema.Int),
  fault: Fault
})
export type Rule = typeof Rule.Type

export class Faults {
  /** How often a request was hit. */
  used = 0
  #rules: Array<{ readonly rule: Rule; skip: number; times: number }> = []

  add(...rules: ReadonlyArray<Rule>) {
    for (const rule of rules) this.#rules.push({ rule, skip: rule.skip ?? 0, times: rule.times ?? 1 })
  }

  clear() {
    this.#rules = []
  }

  /** The fault for this request; counts it. */
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

/** The parsing of `Range` headers. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as RangeRequest from "../../src/Http/RangeRequest.ts"

const Position = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 120 }))

describe("byteRange", () => {
  it("resolves the three forms, clipped to the size", () => {
    assert.deepStrictEqual(RangeRequest.byteRange("bytes=0-0", 100), { start: 0, end: 1 })
    assert.deepStrictEqual(RangeRequest.byteRange("bytes=10-19", 100), { start: 10, end: 20 })
    assert.deepStrictEqual(RangeRequest.byteRange("bytes=10-1000", 100), { start: 10, end: 100 })
    assert.deepStrictEqual(RangeRequest.byteRange("bytes=99-", 100), { start: 99, end: 100 })
    assert.deepStrictEqual(RangeRequest.byteRange("bytes=-1", 100), { start: 99, end: 100 })
    assert.deepStrictEqual(RangeRequest.byteRange("bytes=-1000", 100), { start: 0, end: 100 })
    assert.deepStrictEqual(RangeRequest.byteRange("Bytes= 5-6 ,", 100), { start: 5, end: 7 })
    assert.deepStrictEqual(RangeRequest.byteRange(`bytes=5-${"9".repeat(400)}`, 100), { start: 5, end: 100 })
  })

  it("reports a range behind the end and an empty suffix as unsatisfiable", () => {
    for (const header of ["bytes=100-", "bytes=100-200", "bytes=-0", `bytes=${"9".repeat(400)}-`]) {
      assert.strictEqual(RangeRequest.byteRange(header, 100), "unsatisfiable", header)
    }
    assert.strictEqual(RangeRequest.byteRange("bytes=0-", 0), "unsatisfiable")
    assert.strictEqual(RangeRequest.byteRange("bytes=-5", 0), "unsatisfiable")
  })

  it("ignores several ranges, other units and malformed headers", () => {
    const ignored = [
      undefined,
      "",
      "bytes",
      "bytes=",
      "bytes=-",
      "bytes=,",
      "bytes=a-b",
      "bytes=1",
      "bytes=5-4",
      "bytes=+1-2",
      "bytes=1.5-2",
      "bytes=0x1-2",
      "bytes=--1",
      "bytes=0-1,4-5",
      "bytes=0-1,200-300",
      "seconds=0-1",
      "xbytes=0-1"
    ]
    for (const header of ignored) assert.strictEqual(RangeRequest.byteRange(header, 100), "whole", header)
  })

  it.effect.prop(
    "agrees with a byte by byte reading of the RFC",
    { first: Schema.UndefinedOr(Position), last: Schema.UndefinedOr(Position), size: Position },
    ({ first, last, size }) =>
      Effect.sync(() => {
        const wanted = Array.from({ length: size }, (_, at) => at).filter((at) => {
          if (first !== undefined) return at >= first && (last === undefined || at <= last)
          return last !== undefined && at >= size - last
        })
        const asked = RangeRequest.byteRange(`bytes=${first ?? ""}-${last ?? ""}`, size)
        const isInvalid = first === undefined ? last === undefined : last !== undefined && last < first
        if (isInvalid) assert.strictEqual(asked, "whole")
        else if (wanted.length === 0) assert.strictEqual(asked, "unsatisfiable")
        else assert.deepStrictEqual(asked, { start: wanted[0] ?? 0, end: (wanted.at(-1) ?? 0) + 1 })
      }),
    { arbitrary: { runs: 500 } }
  )
})

describe("expectedRange", () => {
  it("is the range of any file that is long enough, as far as the header says", () => {
    assert.deepStrictEqual(RangeRequest.expectedRange("bytes=10-19"), { start: 10, end: 20 })
    assert.deepStrictEqual(RangeRequest.expectedRange("bytes=10-"), { start: 10, end: Infinity })
    assert.deepStrictEqual(RangeRequest.expectedRange(undefined), { start: 0, end: Infinity })
    assert.deepStrictEqual(RangeRequest.expectedRange("bytes=0-1,5-6"), { start: 0, end: Infinity })
    assert.isUndefined(RangeRequest.expectedRange("bytes=-5"))
    assert.isUndefined(RangeRequest.expectedRange("bytes=-0"))
  })
})

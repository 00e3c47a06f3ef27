/** Moments as users write them. */
import { assert, it } from "@effect/vitest"
import { DateTime, Effect, Schema } from "effect"
import { Instant } from "../src/Instant.ts"

const decode = Schema.decodeUnknownEffect(Instant)

const accepted: Readonly<Record<string, string>> = {
  "2030-01-31": "2030-01-31T00:00:00.000Z",
  "2028-02-29": "2028-02-29T00:00:00.000Z",
  "2030-01-31T09:30:00Z": "2030-01-31T09:30:00.000Z",
  "2030-01-31T09:30:00.250+02:00": "2030-01-31T07:30:00.250Z",
  "2030-01-31T09:30Z": "2030-01-31T09:30:00.000Z"
}

for (const [text, iso] of Object.entries(accepted)) {
  it.effect(`reads ${text} as ${iso}`, () =>
    Effect.gen(function* () {
      assert.strictEqual(DateTime.formatIso(yield* decode(text)), iso)
    })
  )
}

const refused = [
  "2026-02-31",
  "2027-02-29",
  "2026-13-01",
  "2026-02-31T00:00:00Z",
  "2030-01-31T24:00:00Z",
  "2030-01-31T09:60:00Z",
  "2030-01-31T09:30:00",
  "31.1.2030",
  "Jan 31 2030",
  "1893456000",
  "tomorrow",
  ""
]

for (const text of refused) {
  it.effect(`rejects ${JSON.stringify(text)}, and says what is accepted`, () =>
    Effect.gen(function* () {
      assert.match(
        (yield* Effect.flip(decode(text))).message,
        /Expected a date such as 2030-01-31 \(its start, UTC\) or/
      )
    })
  )
}

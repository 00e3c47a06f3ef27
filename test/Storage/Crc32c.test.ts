/** Checksums of joined bytes, without the bytes. */
import { assert, it } from "@effect/vitest"
import { crc32c } from "@node-rs/crc32"
import { Effect, Schema } from "effect"
import * as Crc32c from "../../src/Storage/Crc32c.ts"

const Size = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 5_000 }))

it.effect.prop(
  "equal the checksum of the bytes",
  { first: Size, second: Size, seed: Size },
  ({ first, second, seed }) =>
    Effect.sync(() => {
      const bytes = Buffer.from(
        Uint8Array.from({ length: first + second }, (_, at) => ((at + seed) * 2_654_435_761) >>> 13)
      )
      const [a, b] = [bytes.subarray(0, first), bytes.subarray(first)]
      assert.strictEqual(Crc32c.join(crc32c(a), crc32c(b), second), crc32c(bytes))
    })
)

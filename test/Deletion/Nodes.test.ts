/** `src/Deletion`: several nodes share the tombstones of one database. */
import { NodeServices } from "@effect/platform-node"
import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as DeletionOnly from "./support/DeletionOnly.ts"
import { share } from "./support/Shares.ts"

layer(Layer.merge(DeletionOnly.layer, NodeServices.layer), { excludeTestServices: true })("Two nodes", (it) => {
  it.effect("delete each of 10,000 objects once", () =>
    Effect.gen(function* () {
      const report = yield* share(10_000)
      console.log(JSON.stringify(report))
      assert.strictEqual(report.once, report.objects)
      assert.isTrue(report.shares.every((deleted) => deleted > 0))
    })
  )
})

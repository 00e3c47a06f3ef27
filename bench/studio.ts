/** Studio: pages of its lists at any depth, beside the same pages with `OFFSET` and `COUNT(*) OVER ()` in the same run. */
import { Effect, Layer } from "effect"
import * as ScratchDatabase from "../test/support/ScratchDatabase.ts"
import * as Vods from "./studio/Vods.ts"

export const run = async (args: ReadonlyArray<string>) => {
  const quick = args.includes("--quick")
  const vods = await Effect.runPromise(
    Effect.scoped(Effect.provide(Vods.measure(quick), Layer.provideMerge(Vods.layer, ScratchDatabase.layer)))
  )
  console.log(JSON.stringify({ bench: "studio", ...vods }))
}

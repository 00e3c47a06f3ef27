/**
 * Studio: pages of its lists at any depth, beside the same pages with `OFFSET` and `COUNT(*) OVER ()` in the same run, and the
 * fan-out of a chat.
 */
import { Effect, Layer } from "effect"
import * as ScratchDatabase from "../test/support/ScratchDatabase.ts"
import * as Chat from "./studio/Chat.ts"
import * as Vods from "./studio/Vods.ts"

export const run = async (args: ReadonlyArray<string>) => {
  const quick = args.includes("--quick")
  const vods = await Effect.runPromise(
    Effect.scoped(Effect.provide(Vods.measure(quick), Layer.provideMerge(Vods.layer, ScratchDatabase.layer)))
  )
  const chat = await Effect.runPromise(
    Effect.scoped(Effect.provide(Chat.pages(quick), Layer.provideMerge(Chat.layer, ScratchDatabase.layer)))
  )
  const fanout = await Chat.fanout(quick)
  // Where both measure, the worse one.
  const depthRatio = Math.max(chat.chatDepthRatio, vods.vodDepthRatio)
  const vsOffset = Math.min(chat.chatVsOffset, vods.vodVsOffset)
  console.log(JSON.stringify({ bench: "studio", ...vods, ...chat, ...fanout, depthRatio, vsOffset }))
}

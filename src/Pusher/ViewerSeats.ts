/** Seats of live views: the captures of the node, and the transcripts of conversations. */
import { Context, Effect, Layer } from "effect"
import { Seats } from "../Bulkhead.ts"
import { PusherConfig } from "./PusherConfig.ts"

export class ViewerSeats extends Context.Service<ViewerSeats, Seats.Seats>()("spillway/Pusher/ViewerSeats") {
  static readonly layer = Layer.effect(
    ViewerSeats,
    Effect.gen(function* () {
      const config = yield* PusherConfig
      const { viewers, viewersPerUser } = PusherConfig.settings
      return yield* Seats.make("live views", {
        node: { limit: config.viewers, setting: viewers.env },
        user: { limit: config.viewersPerUser, setting: viewersPerUser.env }
      })
    })
  )
}

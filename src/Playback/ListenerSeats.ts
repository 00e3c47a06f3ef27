/** Seats of responses with audio. All routes that send audio share them. */
import { Context, Effect, Layer } from "effect"
import { Seats } from "../Bulkhead.ts"
import { PlaybackConfig } from "./PlaybackConfig.ts"

export class ListenerSeats extends Context.Service<ListenerSeats, Seats.Seats>()("spillway/Playback/ListenerSeats") {
  static readonly layer = Layer.effect(
    ListenerSeats,
    Effect.gen(function* () {
      const config = yield* PlaybackConfig
      const { responses, responsesPerUser } = PlaybackConfig.settings
      return yield* Seats.make("audio responses", {
        node: { limit: config.responses, setting: responses.env },
        user: { limit: config.responsesPerUser, setting: responsesPerUser.env }
      })
    })
  )
}

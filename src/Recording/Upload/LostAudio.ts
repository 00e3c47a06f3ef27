/** Gives up audio that the journal has no room for: its row says that it is lost, then the journal releases it. */
import { Effect, Exit, Metric } from "effect"
import { ChunkRows } from "../Catalog/ChunkRows.ts"
import type { JournalChunk } from "../Journal/JournalChunk.ts"
import { LiveConversations } from "../Journal/LiveConversations.ts"

const lostSeconds = Metric.counter("spillway_lost_seconds_total", {
  description: "Seconds of audio discarded because the journal exceeded its budget"
})

export const make = Effect.gen(function* () {
  const rows = yield* ChunkRows
  const live = yield* LiveConversations
  /** The last row for lost audio was not written; logged once per outage. */
  let isOutageLogged = false
  /** Records chunks as lost and releases them; `uploading` reserves a chunk meanwhile. */
  return Effect.fnUntraced(function* (chunks: ReadonlyArray<JournalChunk>) {
    for (const chunk of chunks) {
      if (chunk.state === "released") continue
      if (chunk.state === "uploading") return false
      const seconds = chunk.durableSamples / chunk.sampleRate
      const lost = { uid: chunk.uid, conversation: chunk.conversation, start: chunk.start, seconds }
      chunk.state = "uploading"
      const noted = yield* rows.insertLost(chunk).pipe(
        Effect.catchTag("Purged", () => Effect.void),
        Effect.onError(() => Effect.sync(() => (chunk.state = "waiting"))),
        Effect.exit
      )
      if (Exit.isFailure(noted)) {
        const log = isOutageLogged ? Effect.logDebug : Effect.logError
        isOutageLogged = true
        yield* log(
          "the journal is full, and the database can't record the audio that would be lost: recording pauses until it can",
          noted.cause
        ).pipe(Effect.annotateLogs(lost))
        return false
      }
      isOutageLogged = false
      live.get(chunk.uid, chunk.conversation)?.lose(chunk)
      yield* live.release(chunk)
      yield* Metric.update(lostSeconds, seconds)
      yield* Effect.logError(
        "audio was discarded: the journal exceeds its budget; restore uploads to the store or raise the budget"
      ).pipe(Effect.annotateLogs({ ...lost, chunk: chunk.id }))
    }
    return true
  })
})

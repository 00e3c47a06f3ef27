/** `/v1/conversations/{id}/waveform`. */
import { Effect, Layer, Option } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { Problem, ProblemRules } from "../../Http.ts"
import { Principal } from "../../Auth.ts"
import { Playback } from "../../Playback.ts"
import * as ConversationsHttp from "../ConversationsHttp.ts"
import type { Waveform } from "./Waveform.ts"
import { type FileWaveform, WaveformApi } from "./WaveformApi.ts"

const defaultPoints = 1_000

const { dateOf, seconds } = ConversationsHttp

const fileWaveform = ({ file, high, lost, low, stored }: Waveform): typeof FileWaveform.Type => ({
  id: file.id,
  started_at: dateOf(file.start),
  duration: seconds(file.samples / file.sampleRate),
  stored: seconds(stored),
  low,
  high,
  lost: lost.map(([from, to]) => [seconds(from), seconds(to)] as const)
})

const group = HttpApiBuilder.group(
  WaveformApi,
  "waveform",
  Effect.fn(function* (handlers) {
    const playback = yield* Playback
    const { answer } = yield* ProblemRules
    return handlers.handleAll({
      draw: Effect.fnUntraced(function* ({ params: { id }, query: { files_before: before, points = defaultPoints } }) {
        const { uid } = yield* Principal
        const found = yield* answer(playback.waveform(uid, id, { points, ...(before === undefined ? {} : { before }) }))
        if (Option.isNone(found)) return yield* Problem.notFound("There is no conversation with this id.")
        const { files, filesNext, live } = found.value
        return { live, audio_files: files.map(fileWaveform), files_next: filesNext ?? null }
      })
    })
  })
)

export const layer = HttpApiBuilder.layer(WaveformApi).pipe(Layer.provide(group))

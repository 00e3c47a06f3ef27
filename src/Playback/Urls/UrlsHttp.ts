/** `/v1/sync/audio/{conversation}/urls`. */
import { Effect, Layer, Option } from "effect"
import { HttpEffect, HttpServerResponse } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import { Principal } from "../../Auth.ts"
import { Problem, ProblemRules } from "../../Http.ts"
import type { Artifact } from "./Artifacts.ts"
import * as ConversationsHttp from "../ConversationsHttp.ts"
import { contentTypes } from "../Rendition/Rendition.ts"
import { AudioUrls, type ConversationUrls } from "./AudioUrls.ts"
import { type AudioUrlsInfo, UrlsApi } from "./UrlsApi.ts"

type Info = typeof AudioUrlsInfo.Type
type Access = NonNullable<ConversationUrls["whole"]>
type Format = keyof typeof contentTypes

const { dateOf, seconds } = ConversationsHttp

const accessInfo = (access: Access, format: Format) =>
  "url" in access
    ? ({ status: "cached", signed_url: access.url, content_type: contentTypes[format] } as const)
    : ({ status: "unavailable", reason: access.reason } as const)

const artifactInfo = (artifact: Artifact) =>
  artifact.state === "failed" ? { state: artifact.state, reason: artifact.reason } : { state: artifact.state }

const wholeInfo = (
  whole: Access,
  files: ConversationUrls["files"],
  format: Format
): NonNullable<Info["conversation_audio"]> => {
  const wall = files[0]?.file.start ?? 0
  let [length, captured] = [0, 0]
  const spans = files.map(({ file: { capturedSamples, id, sampleRate, samples, start } }) => {
    const span = {
      file_id: id,
      wall_offset: seconds(start - wall),
      artifact_offset: seconds(length),
      len: seconds(samples / sampleRate)
    }
    length += samples / sampleRate
    captured += capturedSamples / sampleRate
    return span
  })
  return { ...accessInfo(whole, format), duration: seconds(length), captured_duration: seconds(captured), spans }
}

const info = ({ files, filesNext, whole }: ConversationUrls, format: Format): Info => ({
  audio_files: files.map(({ access, artifact, file }) => ({
    id: file.id,
    ...accessInfo(access, format),
    ...(artifact === undefined ? {} : { artifact: artifactInfo(artifact) }),
    duration: seconds(file.samples / file.sampleRate),
    started_at: dateOf(file.start)
  })),
  ...(whole === undefined ? {} : { conversation_audio: wholeInfo(whole, files, format) }),
  ...(filesNext === undefined ? {} : { files_next: filesNext })
})

/** The URLs are secrets. */
const unstored = HttpEffect.appendPreResponseHandler((_request, response) =>
  Effect.succeed(
    response.status === 200 ? HttpServerResponse.setHeader(response, "cache-control", "private, no-store") : response
  )
)

const group = HttpApiBuilder.group(
  UrlsApi,
  "urls",
  Effect.fn(function* (handlers) {
    const urls = yield* AudioUrls
    const { answer } = yield* ProblemRules
    return handlers.handleAll({
      list: Effect.fnUntraced(function* ({
        params: { conversation },
        query: { files_before: before, format = "wav" }
      }) {
        const { uid } = yield* Principal
        yield* unstored
        const page = { format, ...(before === undefined ? {} : { before }) }
        const found = yield* answer(urls.list(uid, conversation, page))
        if (Option.isNone(found)) return yield* Problem.notFound("There is no conversation with this id.")
        return info(found.value, format)
      })
    })
  })
)

export const layer = HttpApiBuilder.layer(UrlsApi).pipe(Layer.provide(group), Layer.provide(AudioUrls.layer))

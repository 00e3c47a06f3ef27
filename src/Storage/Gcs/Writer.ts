/** Puts: what fits in one request together with its metadata, the rest in chunks. Create-only, CRC32C declared. */
import { crc32c } from "@node-rs/crc32"
import { Effect, Option, Stream } from "effect"
import { randomUUID } from "node:crypto"
import { ObjectConflict } from "../../Storage.ts"
import type { NewObject, StorageRefused, StorageUnavailable } from "../../Storage.ts"
import * as Gcs from "./Gcs.ts"
import { translate } from "./Fault.ts"
import type { GcsFault } from "./Fault.ts"
import type * as GcsHttp from "./Http.ts"
import * as GcsObject from "./Object.ts"
import * as GcsPolicy from "./Policy.ts"
import * as GcsResumable from "./ResumableUpload.ts"
import * as GcsSent from "./Sent.ts"
import * as Rules from "../Rules.ts"

interface Body extends GcsSent.Sum {
  readonly pieces: ReadonlyArray<Uint8Array>
}

const collect = Effect.fnUntraced(function* (at: Rules.At, body: NewObject["body"]) {
  if (body instanceof Uint8Array) return { pieces: [body], size: body.length, crc32c: crc32c(body) }
  const pieces: Array<Uint8Array> = []
  let size = 0
  let sum = 0
  const stream: Stream.Stream<Uint8Array, StorageUnavailable | StorageRefused> = body.stream
  yield* Stream.runForEach(
    Stream.limitBytes(stream, body.size, () => Stream.fail(GcsSent.wrongSize(at, body.size))),
    (piece) =>
      Effect.sync(() => {
        pieces.push(piece)
        size += piece.length
        sum = crc32c(piece, sum)
      })
  )
  if (size !== body.size) return yield* GcsSent.wrongSize(at, body.size)
  return { pieces, size, crc32c: sum }
})

/** `multipart/related` (RFC 2387): the object's resource and its bytes. */
const related = (object: NewObject, body: Body): GcsHttp.Body => {
  const boundary = randomUUID()
  const { contentType, key, metadata } = object
  const resource = { name: key, contentType, metadata, crc32c: GcsObject.sumText(body.crc32c) }
  const head = `--${boundary}\r\ncontent-type: application/json; charset=UTF-8\r\n\r\n${JSON.stringify(resource)}\r\n`
  const start = Buffer.from(`${head}--${boundary}\r\ncontent-type: application/octet-stream\r\n\r\n`)
  const end = Buffer.from(`\r\n--${boundary}--\r\n`)
  return {
    type: `multipart/related; boundary=${boundary}`,
    size: start.length + body.size + end.length,
    pieces: GcsSent.sliced([start, ...body.pieces, end])
  }
}

const inOne = (gcs: Gcs.Gcs, object: NewObject, body: Body): Effect.Effect<GcsSent.Outcome, GcsFault> => {
  const path = `/upload${Gcs.objects(gcs)}?uploadType=multipart&ifGenerationMatch=0&fields=${GcsObject.fields}`
  const once = gcs.http.text({ method: "POST", path, body: related(object, body) }).pipe(
    Effect.mapError(GcsSent.damageIsTransient),
    Effect.flatMap(GcsObject.object),
    Gcs.unless(412),
    Effect.flatMap(
      Option.match({
        onNone: () => GcsSent.existing(gcs, object.key, body),
        onSome: (made) => GcsSent.checked(gcs, made, body)
      })
    )
  )
  return GcsPolicy.retry(gcs.config, once)
}

const sizeOf = (body: NewObject["body"]): number => (body instanceof Uint8Array ? body.length : body.size)

export const put = Effect.fnUntraced(function* (gcs: Gcs.Gcs, at: Rules.At, object: NewObject) {
  yield* Rules.key(at)
  yield* Rules.metadata(at, object)
  const size = sizeOf(object.body)
  const outcome =
    size <= gcs.config.multipartSize
      ? yield* Effect.mapError(inOne(gcs, object, yield* collect(at, object.body)), translate(at))
      : yield* GcsResumable.put(gcs, at, object, size)
  return yield* Option.match(outcome, { onNone: () => new ObjectConflict(at), onSome: Effect.succeed })
})

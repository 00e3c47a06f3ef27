/** Puts, create-only and with a declared CRC32C: small objects in one request, large ones in chunks. */
import { crc32c } from "@node-rs/crc32"
import { Effect, Option, Stream } from "effect"
import { randomUUID } from "node:crypto"
import { ObjectConflict } from "../../Storage.ts"
import type { NewObject, StorageRefused, StorageUnavailable } from "../../Storage.ts"
import * as Bucket from "./Bucket.ts"
import { translate } from "./Fault.ts"
import type { GcsFault } from "./Fault.ts"
import * as Http from "./Http.ts"
import * as Policy from "./Policy.ts"
import * as ResumableUpload from "./ResumableUpload.ts"
import * as Validation from "../Validation.ts"

interface Body extends Bucket.Checksum {
  readonly pieces: ReadonlyArray<Uint8Array>
}

const collect = Effect.fnUntraced(function* (at: Validation.At, body: NewObject["body"]) {
  if (body instanceof Uint8Array) return { pieces: [body], size: body.length, crc32c: crc32c(body) }
  const pieces: Array<Uint8Array> = []
  let size = 0
  let sum = 0
  const stream: Stream.Stream<Uint8Array, StorageUnavailable | StorageRefused> = body.stream
  yield* Stream.runForEach(
    Stream.limitBytes(stream, body.size, () => Stream.fail(Validation.wrongSize(at, body.size))),
    (piece) =>
      Effect.sync(() => {
        pieces.push(piece)
        size += piece.length
        sum = crc32c(piece, sum)
      })
  )
  if (size !== body.size) return yield* Validation.wrongSize(at, body.size)
  return { pieces, size, crc32c: sum }
})

/** `multipart/related` (RFC 2387): the object's resource, then its bytes. */
const related = (object: NewObject, body: Body): Http.Body => {
  const boundary = randomUUID()
  const { contentType, key, metadata } = object
  const resource = { name: key, contentType, metadata, crc32c: Bucket.crcText(body.crc32c) }
  const head = `--${boundary}\r\ncontent-type: application/json; charset=UTF-8\r\n\r\n${JSON.stringify(resource)}\r\n`
  const start = Buffer.from(`${head}--${boundary}\r\ncontent-type: application/octet-stream\r\n\r\n`)
  const end = Buffer.from(`\r\n--${boundary}--\r\n`)
  return {
    type: `multipart/related; boundary=${boundary}`,
    size: start.length + body.size + end.length,
    pieces: Http.sliced([start, ...body.pieces, end])
  }
}

const inOne = (bucket: Bucket.Bucket, object: NewObject, body: Body): Effect.Effect<Bucket.Outcome, GcsFault> => {
  const path = `/upload${Bucket.objects(bucket)}?uploadType=multipart&ifGenerationMatch=0&fields=${Bucket.fields}`
  const once = bucket.http.text({ method: "POST", path, body: related(object, body) }).pipe(
    Effect.mapError(Bucket.damageIsTransient),
    Effect.flatMap(Bucket.object),
    Bucket.noneOn(412),
    Effect.flatMap(
      Option.match({
        onNone: () => Bucket.verifyExisting(bucket, object.key, body),
        onSome: (made) => Bucket.verifyCreated(bucket, made, body)
      })
    )
  )
  return Policy.retry(bucket.config, once)
}

const sizeOf = (body: NewObject["body"]): number => (body instanceof Uint8Array ? body.length : body.size)

export const put = Effect.fnUntraced(function* (bucket: Bucket.Bucket, at: Validation.At, object: NewObject) {
  yield* Validation.checkKey(at)
  yield* Validation.checkMetadata(at, object)
  const size = sizeOf(object.body)
  const outcome =
    size <= bucket.config.multipartSize
      ? yield* Effect.mapError(inOne(bucket, object, yield* collect(at, object.body)), translate(at))
      : yield* ResumableUpload.put(bucket, at, object, size)
  return yield* Option.match(outcome, { onNone: () => new ObjectConflict(at), onSome: Effect.succeed })
})

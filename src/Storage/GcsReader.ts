/** Reads: pinned to the generation of the first answer, resumed after the last byte that came, ended when the reader goes. */
import { crc32c } from "@node-rs/crc32"
import { Cause, Duration, Effect, Exit, Option, Pull, Scope, Stream } from "effect"
import type { Array } from "effect"
import type { HttpClientResponse } from "effect/http"
import { ObjectNotFound, StorageUnavailable } from "../Storage.ts"
import type { ByteRange, StorageRefused } from "../Storage.ts"
import * as Gcs from "./Gcs.ts"
import { broken, cut, translate } from "./GcsFault.ts"
import type { GcsFault } from "./GcsFault.ts"
import * as GcsHttp from "./GcsHttp.ts"
import { sumOfHeader } from "./GcsObject.ts"
import * as GcsPolicy from "./GcsPolicy.ts"
import * as Rules from "./Rules.ts"

type ReadError = ObjectNotFound | StorageUnavailable | StorageRefused

type Bytes = Array.NonEmptyReadonlyArray<Uint8Array>
type Pieces = Pull.Pull<Bytes, GcsFault>

interface Connection {
  readonly pieces: Pieces
  readonly scope: Scope.Closeable
}

const anywhere = Number.MAX_SAFE_INTEGER

const number = (text: string | undefined): number | undefined => (text === undefined ? undefined : Number(text))

/** Which bytes an answer holds, of how many in all. */
const extent = ({ headers, status }: HttpClientResponse.HttpClientResponse) => {
  if (status !== 206) {
    const size = number(headers["x-goog-stored-content-length"] ?? headers["content-length"])
    return size === undefined ? undefined : { start: 0, end: size, size }
  }
  const part = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(headers["content-range"] ?? "")
  return part === null ? undefined : { start: Number(part[1]), end: Number(part[2]) + 1, size: Number(part[3]) }
}

/** The state of one read. `end` is where it ends as far as is known. */
class Read {
  position: number
  end: number
  generation: string | undefined
  /** Of the whole object, when all of it is read. */
  expected: Option.Option<number> = Option.none()
  sum = 0
  connection: Connection | undefined
  readonly isRange: boolean

  constructor(range: ByteRange, isRange: boolean) {
    this.position = range.start
    this.end = range.end
    this.isRange = isRange
  }

  get isOver(): boolean {
    return this.position >= this.end
  }

  get headers(): Record<string, string> {
    // As it is stored: what was stored compressed is not to be unpacked on the way.
    const plain = { "accept-encoding": "gzip" }
    if (!this.isRange && this.position === 0) return plain
    return { ...plain, range: `bytes=${this.position}-${this.end === anywhere ? "" : this.end - 1}` }
  }

  /** False when the answer is not what was asked for. */
  begins(response: HttpClientResponse.HttpClientResponse): boolean {
    const found = extent(response)
    if (found === undefined || found.start !== this.position) return false
    if (found.end !== Math.min(this.end, found.size)) return false
    const { generation } = this
    const { headers } = response
    this.end = found.end
    this.generation = generation ?? headers["x-goog-generation"]
    if (generation === undefined && found.start === 0 && found.end === found.size) {
      this.expected = sumOfHeader(headers["x-goog-hash"])
    }
    return generation === undefined || generation === headers["x-goog-generation"]
  }

  /** Whether these bytes may be handed on. The last ones may not when all of them are not what was put. */
  takes(pieces: ReadonlyArray<Uint8Array>): boolean {
    for (const piece of pieces) {
      this.position += piece.length
      if (Option.isSome(this.expected)) this.sum = crc32c(piece, this.sum)
    }
    if (this.position < this.end) return true
    return this.position === this.end && Option.getOrElse(this.expected, () => this.sum) === this.sum
  }
}

/** The answer's bytes, until the scope closes. None: there is nothing in the range. */
const open = (gcs: Gcs.Gcs, key: string, read: Read) =>
  GcsPolicy.attempt(gcs.config, (moved) =>
    Effect.gen(function* () {
      const pinned = read.generation === undefined ? "" : `&generation=${read.generation}`
      const path = `${Gcs.path(gcs, key)}?alt=media${pinned}`
      const response = yield* gcs.http.execute({ method: "GET", path, headers: read.headers })
      if (response.status === 416 && read.generation === undefined) {
        return yield* Effect.as(GcsHttp.discard(response), Option.none<Pieces>())
      }
      if (!GcsHttp.isSuccess(response)) return yield* GcsHttp.failed(response, moved)
      if (!read.begins(response)) {
        return yield* Effect.andThen(GcsHttp.discard(response), broken("not the bytes that were asked for"))
      }
      const pull = yield* Stream.toPull(Stream.mapError(response.stream, (error) => cut(error.message)))
      return Option.some<Pieces>(pull)
    })
  )

/** No bytes of an object that is there. */
const nothing = (gcs: Gcs.Gcs, at: Rules.At) => Effect.flatMap(Gcs.head(gcs, at), () => Effect.succeed(Stream.empty))

/** In the pieces in which it arrives. Fails before its last piece when the whole object was read and its CRC32C is wrong. */
export const get = (gcs: Gcs.Gcs, at: Rules.At, range: ByteRange | undefined): Stream.Stream<Uint8Array, ReadError> =>
  Stream.unwrap(
    Effect.gen(function* () {
      yield* Rules.key(at)
      const asked = yield* Rules.range(at, range, anywhere)
      if (asked.start === asked.end) return yield* nothing(gcs, at)
      const parent = yield* Effect.scope
      const read = new Read(asked, range !== undefined)
      const stall = gcs.config.stallTimeout

      const close = Effect.suspend(() => {
        const { connection } = read
        read.connection = undefined
        return connection === undefined ? Effect.void : Scope.close(connection.scope, Exit.void)
      })

      const more = (pieces: Pieces) =>
        Effect.timeoutOrElse(
          Pull.catchDone(pieces, () => Effect.fail(cut("the answer ended early"))),
          { duration: stall, orElse: () => Effect.fail(cut(`no progress for ${Duration.format(stall)}`)) }
        ).pipe(
          Effect.asSome,
          Effect.tapError(() => close)
        )

      const connect = Effect.uninterruptibleMask((restore) =>
        Effect.gen(function* () {
          const scope = yield* Scope.fork(parent)
          const opened = yield* restore(Scope.provide(open(gcs, at.key, read), scope)).pipe(
            Effect.onError(() => Scope.close(scope, Exit.void))
          )
          read.connection = Option.isSome(opened) ? { pieces: opened.value, scope } : undefined
          if (Option.isNone(opened)) read.end = read.position
          return opened
        })
      )

      /** None at the end. */
      const next = Effect.suspend(() => {
        const { connection } = read
        if (connection !== undefined) return more(connection.pieces)
        return Effect.flatMap(connect, (opened) => (Option.isSome(opened) ? more(opened.value) : Effect.succeedNone))
      })

      const resumed = next.pipe(
        Effect.catchTag("GcsFault", (fault) => GcsPolicy.retryAfter(gcs.config, fault, next)),
        Effect.mapError((fault) => (fault.status === 404 ? new ObjectNotFound(at) : translate(at)(fault)))
      )

      /** The answer's end is taken too, so that its connection can be used again. */
      const finish = Effect.suspend(() =>
        read.connection === undefined ? Effect.void : Effect.ignore(more(read.connection.pieces))
      ).pipe(Effect.andThen(Cause.done()))

      const pieces = Effect.suspend(() =>
        read.isOver
          ? finish
          : Effect.flatMap(resumed, (some): Effect.Effect<Bytes, Cause.Done | StorageUnavailable> => {
              if (Option.isNone(some)) return Cause.done()
              return read.takes(some.value)
                ? Effect.succeed(some.value)
                : new StorageUnavailable({ ...at, cause: cut("the bytes are not what was put") })
            })
      )

      return Stream.fromPull(Effect.succeed(pieces))
    })
  )

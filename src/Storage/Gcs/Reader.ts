/** Reads objects: pinned to the generation of the first response, resumed after the last received byte, aborted with the stream. */
import { crc32c } from "@node-rs/crc32"
import { Cause, Duration, Effect, Metric, Option, Stream } from "effect"
import { ObjectDamaged, ObjectNotFound } from "../../Storage.ts"
import type { ByteRange, ReadError } from "../../Storage.ts"
import * as Bucket from "./Bucket.ts"
import { transient, translate } from "./Fault.ts"
import type { GcsFault } from "./Fault.ts"
import * as Http from "./Http.ts"
import type { Bytes, HttpResponse } from "./Response.ts"
import type { Attempt } from "./Watchdog.ts"
import * as Policy from "./Policy.ts"
import * as Validation from "../Validation.ts"
import * as StorageMetrics from "../StorageMetrics.ts"

const anywhere = Number.MAX_SAFE_INTEGER

/** The bytes that a response holds and the size of the whole object. */
const extent = (response: HttpResponse) => {
  if (response.status !== 206) {
    const size = Http.header(response, "x-goog-stored-content-length") ?? Http.header(response, "content-length")
    return size === undefined ? undefined : { start: 0, end: Number(size), size: Number(size) }
  }
  const part = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(Http.header(response, "content-range") ?? "")
  return part === null ? undefined : { start: Number(part[1]), end: Number(part[2]) + 1, size: Number(part[3]) }
}

/** The state of one read. `end` is the requested end until the first response gives the real one. */
class Read {
  position: number
  end: number
  generation: string | undefined
  /** CRC32C of the object; none for a partial read. */
  expected: Option.Option<number> = Option.none()
  sum = 0
  response: HttpResponse | undefined
  attempt: Attempt = "first"
  readonly isRange: boolean

  constructor(range: ByteRange, isRange: boolean) {
    this.position = range.start
    this.end = range.end
    this.isRange = isRange
  }

  readonly close = () => {
    this.response?.close()
    this.response = undefined
  }

  /** Closes a failed response; later attempts get the full stall timeout. */
  readonly failed = () => {
    this.close()
    this.attempt = "other"
  }

  get isOver(): boolean {
    return this.position >= this.end
  }

  get headers(): Record<string, string> {
    // Accepting gzip prevents the store from decompressing objects that were stored compressed.
    const plain = { "accept-encoding": "gzip" }
    if (!this.isRange && this.position === 0) return plain
    return { ...plain, range: `bytes=${this.position}-${this.end === anywhere ? "" : this.end - 1}` }
  }

  /** False when the response does not match the request. A range that starts after the end is empty. */
  accept(response: HttpResponse): boolean {
    if (response.status === 416 && this.generation === undefined) {
      this.end = this.position
      return true
    }
    if (response.status !== 200 && response.status !== 206) return false
    const found = extent(response)
    if (found === undefined || found.start !== this.position) return false
    if (found.end !== Math.min(this.end, found.size)) return false
    const { generation } = this
    const now = Http.header(response, "x-goog-generation")
    this.end = found.end
    this.generation = generation ?? now
    if (generation === undefined && found.start === 0 && found.end === found.size) {
      this.expected = Bucket.crcOfHeader(Http.header(response, "x-goog-hash"))
    }
    return generation === undefined || generation === now
  }

  /** False at the last bytes of an object whose CRC32C is wrong, or when there are too many bytes. */
  add(pieces: ReadonlyArray<Uint8Array>): boolean {
    for (const piece of pieces) {
      this.position += piece.length
      if (Option.isSome(this.expected)) this.sum = crc32c(piece, this.sum)
    }
    if (this.position < this.end) return true
    return this.position === this.end && Option.getOrElse(this.expected, () => this.sum) === this.sum
  }
}

const connect = (bucket: Bucket.Bucket, key: string, read: Read): Effect.Effect<void, GcsFault> => {
  const pinned = read.generation === undefined ? "" : `&generation=${read.generation}`
  const call = { method: "GET", path: `${Bucket.path(bucket, key)}?alt=media${pinned}`, headers: read.headers } as const
  const keep = (response: HttpResponse) => {
    read.response = response
  }
  return Effect.flatMap(bucket.http.media(call, read.attempt, keep), () => {
    if (read.response === undefined || read.accept(read.response)) return Effect.void
    return Http.failed(read.response)
  })
}

const orEarly = (some: Bytes | undefined): Effect.Effect<Bytes, GcsFault> =>
  some === undefined ? Effect.fail(transient("the response ended early")) : Effect.succeed(some)

/** The next bytes; undefined at the end. After a fault, the next call resumes at the same position. */
const advance = (bucket: Bucket.Bucket, key: string, read: Read): Effect.Effect<Bytes | undefined, GcsFault> => {
  const more: Effect.Effect<Bytes | undefined, GcsFault> = Effect.suspend(() => {
    if (read.response === undefined) return Effect.andThen(connect(bucket, key, read), more)
    return read.isOver ? Effect.undefined : Effect.flatMap(read.response.next, orEarly)
  })
  return Effect.tapError(more, () => Effect.sync(read.failed))
}

/** Fails before the last piece of a whole object whose CRC32C is wrong. Reads the clock per pull, not per piece. */
const pull = (bucket: Bucket.Bucket, at: Validation.At, read: Read): Effect.Effect<Bytes, ReadError | Cause.Done> => {
  const next = advance(bucket, at.key, read)
  let since = 0
  /** The deadline includes the first attempt. */
  const retried = (fault: GcsFault) => {
    const spent = Duration.millis(bucket.http.elapsed() - since)
    return Policy.retryAfter(
      { ...bucket.config, deadline: Duration.subtract(bucket.config.deadline, spent) },
      fault,
      next
    )
  }
  /** Reads the end of the response, so that its connection can be reused. */
  const finish = Effect.suspend(() =>
    read.response === undefined ? Cause.done() : Effect.andThen(Effect.ignore(read.response.next), Cause.done())
  )
  const damaged = Effect.suspend(() =>
    Effect.andThen(
      Metric.update(StorageMetrics.damaged, 1),
      new ObjectDamaged({ ...at, reason: "the bytes do not match the stored CRC32C" })
    )
  )
  const one = next.pipe(
    Effect.catchTag("GcsFault", retried),
    Effect.mapError((fault) => (fault.status === 404 ? new ObjectNotFound(at) : translate(at)(fault))),
    Effect.flatMap((some): Effect.Effect<Bytes, Cause.Done | ObjectDamaged> => {
      if (some === undefined) return finish
      return read.add(some) ? Effect.succeed(some) : damaged
    })
  )
  return Effect.suspend(() => {
    if (read.isOver) return finish
    since = bucket.http.elapsed()
    return one
  })
}

/** Pieces have the sizes in which they arrive. */
export function get(
  bucket: Bucket.Bucket,
  at: Validation.At,
  range: ByteRange | undefined
): Stream.Stream<Uint8Array, ReadError> {
  return Stream.suspend(() => {
    let close = () => {}
    const begin = Effect.flatMap(
      Effect.andThen(Validation.checkKey(at), Validation.clipRange(at, range, anywhere)),
      (asked) => {
        const read = new Read(asked, range !== undefined)
        close = read.close
        // An empty range needs no bytes, but a missing object is still an error.
        const isPresent = asked.start === asked.end ? Effect.asVoid(Bucket.head(bucket, at)) : Effect.void
        return Effect.as(isPresent, pull(bucket, at, read))
      }
    )
    return Stream.ensuring(
      Stream.fromPull(begin),
      Effect.sync(() => close())
    )
  })
}

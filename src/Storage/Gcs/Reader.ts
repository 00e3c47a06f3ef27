/** Reads: pinned to the generation of the first response, resumed after the last byte that came, ended when the reader goes. */
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
import * as Rules from "../Rules.ts"
import * as StorageMetrics from "../StorageMetrics.ts"

const anywhere = Number.MAX_SAFE_INTEGER

/** Which bytes an response holds, of how many in all. */
const extent = (response: HttpResponse) => {
  if (response.status !== 206) {
    const size = Http.header(response, "x-goog-stored-content-length") ?? Http.header(response, "content-length")
    return size === undefined ? undefined : { start: 0, end: Number(size), size: Number(size) }
  }
  const part = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(Http.header(response, "content-range") ?? "")
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

  /** The next attempt is not the first. */
  readonly failed = () => {
    this.close()
    this.attempt = "other"
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

  /** False when the response is not what was asked for. A range that begins after the end is empty. */
  begins(response: HttpResponse): boolean {
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
      this.expected = Bucket.sumOfHeader(Http.header(response, "x-goog-hash"))
    }
    return generation === undefined || generation === now
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

/** The response that the read goes on with. */
const connect = (bucket: Bucket.Bucket, key: string, read: Read): Effect.Effect<void, GcsFault> => {
  const pinned = read.generation === undefined ? "" : `&generation=${read.generation}`
  const call = { method: "GET", path: `${Bucket.path(bucket, key)}?alt=media${pinned}`, headers: read.headers } as const
  const keep = (response: HttpResponse) => {
    read.response = response
  }
  return Effect.flatMap(bucket.http.media(call, read.attempt, keep), () => {
    if (read.response === undefined || read.begins(read.response)) return Effect.void
    return Http.failed(read.response)
  })
}

const orEarly = (some: Bytes | undefined): Effect.Effect<Bytes, GcsFault> =>
  some === undefined ? Effect.fail(transient("the response ended early")) : Effect.succeed(some)

/** What comes next; undefined at the end. After a fault, the next one goes on where this one ended. */
const advance = (bucket: Bucket.Bucket, key: string, read: Read): Effect.Effect<Bytes | undefined, GcsFault> => {
  const more: Effect.Effect<Bytes | undefined, GcsFault> = Effect.suspend(() => {
    if (read.response === undefined) return Effect.andThen(connect(bucket, key, read), more)
    return read.isOver ? Effect.undefined : Effect.flatMap(read.response.next, orEarly)
  })
  return Effect.tapError(more, () => Effect.sync(read.failed))
}

/** Fails before the last piece when the whole object was read and its CRC32C is wrong. A piece reads no clock. */
const pull = (bucket: Bucket.Bucket, at: Rules.At, read: Read): Effect.Effect<Bytes, ReadError | Cause.Done> => {
  const next = advance(bucket, at.key, read)
  let since = 0
  /** The first attempt's time is a part of the deadline. */
  const retried = (fault: GcsFault) => {
    const spent = Duration.millis(bucket.http.elapsed() - since)
    return Policy.retryAfter(
      { ...bucket.config, deadline: Duration.subtract(bucket.config.deadline, spent) },
      fault,
      next
    )
  }
  /** The response's end is taken too, so that its connection can be used again. */
  const finish = Effect.suspend(() =>
    read.response === undefined ? Cause.done() : Effect.andThen(Effect.ignore(read.response.next), Cause.done())
  )
  const damaged = Effect.suspend(() =>
    Effect.andThen(
      Metric.update(StorageMetrics.damaged, 1),
      new ObjectDamaged({ ...at, reason: "the bytes are not what was put" })
    )
  )
  const one = next.pipe(
    Effect.catchTag("GcsFault", retried),
    Effect.mapError((fault) => (fault.status === 404 ? new ObjectNotFound(at) : translate(at)(fault))),
    Effect.flatMap((some): Effect.Effect<Bytes, Cause.Done | ObjectDamaged> => {
      if (some === undefined) return finish
      return read.takes(some) ? Effect.succeed(some) : damaged
    })
  )
  return Effect.suspend(() => {
    if (read.isOver) return finish
    since = bucket.http.elapsed()
    return one
  })
}

/** In the pieces in which it arrives. */
export function get(
  bucket: Bucket.Bucket,
  at: Rules.At,
  range: ByteRange | undefined
): Stream.Stream<Uint8Array, ReadError> {
  return Stream.suspend(() => {
    let close = () => {}
    const begin = Effect.flatMap(Effect.andThen(Rules.key(at), Rules.range(at, range, anywhere)), (asked) => {
      const read = new Read(asked, range !== undefined)
      close = read.close
      // There are no bytes in the range; whether there is the object is still to be said.
      const isPresent = asked.start === asked.end ? Effect.asVoid(Bucket.head(bucket, at)) : Effect.void
      return Effect.as(isPresent, pull(bucket, at, read))
    })
    return Stream.ensuring(
      Stream.fromPull(begin),
      Effect.sync(() => close())
    )
  })
}

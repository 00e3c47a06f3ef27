/** Reads: pinned to the generation of the first answer, resumed after the last byte that came, ended when the reader goes. */
import { crc32c } from "@node-rs/crc32"
import { Cause, Duration, Effect, Metric, Option, Stream } from "effect"
import { ObjectDamaged, ObjectNotFound } from "../../Storage.ts"
import type { ByteRange, ReadError } from "../../Storage.ts"
import * as Gcs from "./Gcs.ts"
import { cut, translate } from "./Fault.ts"
import type { GcsFault } from "./Fault.ts"
import * as GcsHttp from "./Http.ts"
import type { Bytes, GcsAnswer } from "./Response.ts"
import { sumOfHeader } from "./Object.ts"
import type { Attempt } from "./Watchdog.ts"
import * as GcsPolicy from "./Policy.ts"
import * as Rules from "../Rules.ts"
import * as StorageMetrics from "../StorageMetrics.ts"

const anywhere = Number.MAX_SAFE_INTEGER

/** Which bytes an answer holds, of how many in all. */
const extent = (answer: GcsAnswer) => {
  if (answer.status !== 206) {
    const size = GcsHttp.header(answer, "x-goog-stored-content-length") ?? GcsHttp.header(answer, "content-length")
    return size === undefined ? undefined : { start: 0, end: Number(size), size: Number(size) }
  }
  const part = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(GcsHttp.header(answer, "content-range") ?? "")
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
  answer: GcsAnswer | undefined
  attempt: Attempt = "first"
  readonly isRange: boolean

  constructor(range: ByteRange, isRange: boolean) {
    this.position = range.start
    this.end = range.end
    this.isRange = isRange
  }

  readonly close = () => {
    this.answer?.close()
    this.answer = undefined
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

  /** False when the answer is not what was asked for. A range that begins after the end is empty. */
  begins(answer: GcsAnswer): boolean {
    if (answer.status === 416 && this.generation === undefined) {
      this.end = this.position
      return true
    }
    if (answer.status !== 200 && answer.status !== 206) return false
    const found = extent(answer)
    if (found === undefined || found.start !== this.position) return false
    if (found.end !== Math.min(this.end, found.size)) return false
    const { generation } = this
    const now = GcsHttp.header(answer, "x-goog-generation")
    this.end = found.end
    this.generation = generation ?? now
    if (generation === undefined && found.start === 0 && found.end === found.size) {
      this.expected = sumOfHeader(GcsHttp.header(answer, "x-goog-hash"))
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

/** The answer that the read goes on with. */
const connect = (gcs: Gcs.Gcs, key: string, read: Read): Effect.Effect<void, GcsFault> => {
  const pinned = read.generation === undefined ? "" : `&generation=${read.generation}`
  const call = { method: "GET", path: `${Gcs.path(gcs, key)}?alt=media${pinned}`, headers: read.headers } as const
  const keep = (answer: GcsAnswer) => {
    read.answer = answer
  }
  return Effect.flatMap(gcs.http.media(call, read.attempt, keep), () => {
    if (read.answer === undefined || read.begins(read.answer)) return Effect.void
    return GcsHttp.failed(read.answer)
  })
}

const orEarly = (some: Bytes | undefined): Effect.Effect<Bytes, GcsFault> =>
  some === undefined ? Effect.fail(cut("the answer ended early")) : Effect.succeed(some)

/** What comes next; undefined at the end. After a fault, the next one goes on where this one ended. */
const advance = (gcs: Gcs.Gcs, key: string, read: Read): Effect.Effect<Bytes | undefined, GcsFault> => {
  const more: Effect.Effect<Bytes | undefined, GcsFault> = Effect.suspend(() => {
    if (read.answer === undefined) return Effect.andThen(connect(gcs, key, read), more)
    return read.isOver ? Effect.undefined : Effect.flatMap(read.answer.next, orEarly)
  })
  return Effect.tapError(more, () => Effect.sync(read.failed))
}

/** Fails before the last piece when the whole object was read and its CRC32C is wrong. A piece reads no clock. */
const pull = (gcs: Gcs.Gcs, at: Rules.At, read: Read): Effect.Effect<Bytes, ReadError | Cause.Done> => {
  const next = advance(gcs, at.key, read)
  let since = 0
  /** The first attempt's time is a part of the deadline. */
  const retried = (fault: GcsFault) => {
    const spent = Duration.millis(gcs.http.elapsed() - since)
    return GcsPolicy.retryAfter({ ...gcs.config, deadline: Duration.subtract(gcs.config.deadline, spent) }, fault, next)
  }
  /** The answer's end is taken too, so that its connection can be used again. */
  const finish = Effect.suspend(() =>
    read.answer === undefined ? Cause.done() : Effect.andThen(Effect.ignore(read.answer.next), Cause.done())
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
    since = gcs.http.elapsed()
    return one
  })
}

/** In the pieces in which it arrives. */
export function get(gcs: Gcs.Gcs, at: Rules.At, range: ByteRange | undefined): Stream.Stream<Uint8Array, ReadError> {
  return Stream.suspend(() => {
    let close = () => {}
    const begin = Effect.flatMap(Effect.andThen(Rules.key(at), Rules.range(at, range, anywhere)), (asked) => {
      const read = new Read(asked, range !== undefined)
      close = read.close
      // There are no bytes in the range; whether there is the object is still to be said.
      const isPresent = asked.start === asked.end ? Effect.asVoid(Gcs.head(gcs, at)) : Effect.void
      return Effect.as(isPresent, pull(gcs, at, read))
    })
    return Stream.ensuring(
      Stream.fromPull(begin),
      Effect.sync(() => close())
    )
  })
}

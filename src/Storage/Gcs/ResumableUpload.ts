/** Uploads in chunks; a fault repeats only uncommitted bytes of one. Google discards an abandoned upload after a week. */
import { crc32c } from "@node-rs/crc32"
import { Effect, Option, Pull, Stream } from "effect"
import type { Scope } from "effect"
import { StorageUnavailable } from "../../Storage.ts"
import type { NewObject, StorageRefused } from "../../Storage.ts"
import * as Bucket from "./Bucket.ts"
import { permanent, transient, fromStatus, translate } from "./Fault.ts"
import type { GcsFault } from "./Fault.ts"
import * as Http from "./Http.ts"
import * as Policy from "./Policy.ts"
import * as Validation from "../Validation.ts"

/** Bytes. Every chunk but the last is a multiple of this. */
const granule = 256 * 1_024

/** The path of the session. The host in the response is ignored, so that a token never goes to another host. */
const sessionOf = (location: string | undefined): Option.Option<string> =>
  Option.map(Option.fromNullishOr(URL.parse(location ?? "")), ({ pathname, search }) => pathname + search)

const start = (bucket: Bucket.Bucket, { contentType, key, metadata }: NewObject, size: number) => {
  const call: Http.Call = {
    method: "POST",
    path: `/upload${Bucket.objects(bucket)}?uploadType=resumable&ifGenerationMatch=0&fields=${Bucket.fields}`,
    headers: { "x-upload-content-type": contentType, "x-upload-content-length": String(size) },
    body: Http.jsonBody({ name: key, contentType, metadata })
  }
  const once = Effect.gen(function* () {
    const reply = yield* bucket.http.exchange(call)
    yield* Http.successOf(reply)
    const session = sessionOf(reply.header("location"))
    return yield* Option.match(session, {
      onNone: () => permanent("the response has no session address"),
      onSome: Effect.succeed
    })
  })
  return Policy.retry(bucket.config, Bucket.noneOn(412)(once))
}

/** Progress of an upload: the committed bytes, or the created object. */
type State = { readonly committed: number } | { readonly made: Bucket.StoredObject }

const more = (committed: number): State => ({ committed })
const done = (made: Bucket.StoredObject): State => ({ made })

/** Bytes committed according to a header `bytes=0-N`; 0 without the header. */
const committedOf = (range: string | undefined): number => {
  const last = /^bytes=0-(\d+)$/.exec(range ?? "")?.[1]
  return last === undefined ? 0 : Number(last) + 1
}

const send = Effect.fnUntraced(function* (
  bucket: Bucket.Bucket,
  session: string,
  bytes: Uint8Array,
  headers: Readonly<Record<string, string>>
) {
  const body = { type: "application/octet-stream", size: bytes.length, pieces: Http.sliced([bytes]) }
  const reply = yield* bucket.http.exchange({ method: "PUT", path: session, headers, body })
  if (reply.status === 308) return more(committedOf(reply.header("range")))
  return done(yield* Effect.flatMap(Http.successOf(reply), Bucket.object))
})

/** Sends the uncommitted part of a chunk. After every fault it first asks how much the store has committed. */
const sendChunk = (
  bucket: Bucket.Bucket,
  session: string,
  { bytes, end, start }: Chunk,
  size: number,
  sum: Option.Option<Bucket.Checksum>
) => {
  let committed = start
  /** False when the committed position must be queried before sending. */
  let isKnown = true
  const hash = Option.match(sum, {
    onNone: () => ({}),
    onSome: (known) => ({ "x-goog-hash": `crc32c=${Bucket.crcText(known.crc32c)}` })
  })

  const ask = send(bucket, session, new Uint8Array(0), { ...hash, "content-range": `bytes */${size}` })

  const rest = Effect.suspend(() =>
    send(bucket, session, bytes.subarray(committed - start), {
      ...hash,
      "content-range": `bytes ${committed}-${end - 1}/${size}`
    })
  )

  const step: Effect.Effect<State, GcsFault> = Effect.gen(function* () {
    const state = yield* isKnown ? rest : ask
    if ("made" in state) return state
    if (state.committed < start || state.committed > end)
      return yield* fromStatus(410, "the store reports a position outside the chunk")
    const isStuck = state.committed <= committed && (isKnown || state.committed === end)
    committed = state.committed
    isKnown = committed < end
    if (committed === end && end < size) return state
    return isStuck ? yield* transient("the store committed no bytes") : yield* step
  })

  const again = Effect.tapError(step, () =>
    Effect.sync(() => {
      isKnown = false
    })
  )
  return Policy.retry(bucket.config, again)
}

/** A lost session is a transient error of the whole put, which the caller can repeat. */
const translateChunk = (at: Validation.At) => (fault: GcsFault) =>
  fault.status === 404 || fault.status === 410
    ? new StorageUnavailable({ ...at, cause: fault })
    : translate(at)(Bucket.damageIsTransient(fault))

interface Chunk {
  readonly bytes: Uint8Array
  /** The range of the body, `end` exclusive. */
  readonly start: number
  readonly end: number
}

type NextChunk = Effect.Effect<Chunk, StorageUnavailable | StorageRefused>

/** The body in chunks of `chunkSize` bytes, one in memory. Fails before the last if the size is wrong; no `next` after it. */
function chunksOf(
  at: Validation.At,
  body: NewObject["body"],
  size: number,
  chunkSize: number
): Effect.Effect<{ readonly next: NextChunk }, never, Scope.Scope> {
  return Effect.gen(function* () {
    const stream: Stream.Stream<Uint8Array, StorageUnavailable | StorageRefused> =
      body instanceof Uint8Array ? Stream.succeed(body) : body.stream
    const pull = yield* Stream.toPull(
      Stream.limitBytes(stream, size, () => Stream.fail(Validation.wrongSize(at, size)))
    )
    let waiting: ReadonlyArray<Uint8Array> = []
    let start = 0

    const more = Pull.catchDone(
      Effect.map(pull, (pieces) => {
        waiting = pieces
        return true
      }),
      () => Effect.succeed(false)
    )

    const take = (bytes: Uint8Array, filled: number): number => {
      let at = filled
      while (at < bytes.length) {
        const [piece, ...rest] = waiting
        if (piece === undefined) break
        const taken = piece.subarray(0, bytes.length - at)
        bytes.set(taken, at)
        at += taken.length
        waiting = taken.length < piece.length ? [piece.subarray(taken.length), ...rest] : rest
      }
      return at
    }

    const next: NextChunk = Effect.gen(function* () {
      const bytes = Buffer.allocUnsafeSlow(Math.min(chunkSize, size - start))
      let filled = take(bytes, 0)
      while (filled < bytes.length) {
        if (!(yield* more)) return yield* Validation.wrongSize(at, size)
        filled = take(bytes, filled)
      }
      const chunk: Chunk = { bytes, start, end: start + filled }
      start = chunk.end
      // Excess bytes appear only when the stream is pulled once more.
      let isMore = start === size
      while (isMore) isMore = yield* more
      return chunk
    })
    return { next }
  })
}

export const put = Effect.fnUntraced(function* (
  bucket: Bucket.Bucket,
  at: Validation.At,
  object: NewObject,
  size: number
) {
  const chunkSize = Math.max(granule, bucket.config.chunkSize - (bucket.config.chunkSize % granule))
  const session = yield* Effect.mapError(start(bucket, object, size), translate(at))
  const { next } = yield* chunksOf(at, object.body, size, chunkSize)
  const found = (sum: Bucket.Checksum) =>
    Effect.mapError(Policy.retry(bucket.config, Bucket.verifyExisting(bucket, object.key, sum)), translate(at))
  let sum = 0
  let open = session
  while (true) {
    const chunk = yield* next
    sum = crc32c(chunk.bytes, sum)
    const whole = { size, crc32c: sum }
    const isLast = chunk.end === size
    if (Option.isSome(open)) {
      const sending = sendChunk(bucket, open.value, chunk, size, isLast ? Option.some(whole) : Option.none())
      const state = yield* Effect.mapError(Bucket.noneOn(412)(sending), translateChunk(at))
      // The key has an object. Comparing it needs the CRC32C of the whole body.
      if (Option.isNone(state)) open = Option.none()
      else if ("made" in state.value)
        return yield* Effect.mapError(Bucket.verifyCreated(bucket, state.value.made, whole), translate(at))
    }
    if (isLast) return yield* found(whole)
  }
}, Effect.scoped)

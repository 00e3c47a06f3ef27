/**
 * Uploads in chunks: a fault costs what the store has not committed of one chunk. Nothing of the object is seen before
 * the last chunk; an upload that is given up is forgotten by Google after a week.
 */
import { crc32c } from "@node-rs/crc32"
import { Effect, Option } from "effect"
import { StorageUnavailable } from "../../Storage.ts"
import type { NewObject } from "../../Storage.ts"
import * as Gcs from "./Gcs.ts"
import * as GcsChunks from "./Chunks.ts"
import type { Chunk } from "./Chunks.ts"
import { broken, cut, ofStatus, translate } from "./Fault.ts"
import type { GcsFault } from "./Fault.ts"
import * as GcsHttp from "./Http.ts"
import * as GcsObject from "./Object.ts"
import * as GcsPolicy from "./Policy.ts"
import * as GcsSent from "./Sent.ts"
import type * as Rules from "../Rules.ts"

/** All chunks but the last are multiples of this. */
const granule = 256 * 1_024

/** The session's address on our origin, whatever host the answer names: a token goes to no other. */
const sessionOf = (location: string | undefined): Option.Option<string> =>
  Option.map(Option.fromNullishOr(URL.parse(location ?? "")), ({ pathname, search }) => pathname + search)

const start = (gcs: Gcs.Gcs, { contentType, key, metadata }: NewObject, size: number) => {
  const call: GcsHttp.Call = {
    method: "POST",
    path: `/upload${Gcs.objects(gcs)}?uploadType=resumable&ifGenerationMatch=0&fields=${GcsObject.fields}`,
    headers: { "x-upload-content-type": contentType, "x-upload-content-length": String(size) },
    body: GcsHttp.jsonBody({ name: key, contentType, metadata })
  }
  const once = Effect.gen(function* () {
    const reply = yield* gcs.http.exchange(call)
    yield* GcsHttp.successOf(reply)
    const session = sessionOf(reply.header("location"))
    return yield* Option.match(session, {
      onNone: () => broken("a session without an address"),
      onSome: Effect.succeed
    })
  })
  return GcsPolicy.retry(gcs.config, Gcs.unless(412)(once))
}

/** How far the store is: so many bytes, or done. */
type State = { readonly committed: number } | { readonly made: GcsObject.GcsObject }

const more = (committed: number): State => ({ committed })
const done = (made: GcsObject.GcsObject): State => ({ made })

/** `bytes=0-N`; without it, nothing is there. */
const committedOf = (range: string | undefined): number => {
  const last = /^bytes=0-(\d+)$/.exec(range ?? "")?.[1]
  return last === undefined ? 0 : Number(last) + 1
}

const send = Effect.fnUntraced(function* (
  gcs: Gcs.Gcs,
  session: string,
  bytes: Uint8Array,
  headers: Readonly<Record<string, string>>
) {
  const body = { type: "application/octet-stream", size: bytes.length, pieces: GcsSent.sliced([bytes]) }
  const reply = yield* gcs.http.exchange({ method: "PUT", path: session, headers, body })
  if (reply.status === 308) return more(committedOf(reply.header("range")))
  return done(yield* Effect.flatMap(GcsHttp.successOf(reply), GcsObject.object))
})

/** Sends the chunk from where the store is, and asks where that is after every fault. */
const sendChunk = (
  gcs: Gcs.Gcs,
  session: string,
  { bytes, end, start }: Chunk,
  size: number,
  sum: Option.Option<GcsSent.Sum>
) => {
  let committed = start
  /** False: how far the store is, or whether it is done, has to be asked. */
  let isKnown = true
  const hash = Option.match(sum, {
    onNone: () => ({}),
    onSome: (known) => ({ "x-goog-hash": `crc32c=${GcsObject.sumText(known.crc32c)}` })
  })

  const ask = send(gcs, session, new Uint8Array(0), { ...hash, "content-range": `bytes */${size}` })

  const rest = Effect.suspend(() =>
    send(gcs, session, bytes.subarray(committed - start), {
      ...hash,
      "content-range": `bytes ${committed}-${end - 1}/${size}`
    })
  )

  const step: Effect.Effect<State, GcsFault> = Effect.gen(function* () {
    const state = yield* isKnown ? rest : ask
    if ("made" in state) return state
    if (state.committed < start || state.committed > end) return yield* ofStatus(410, "the store has lost its place")
    const isStuck = state.committed <= committed && (isKnown || state.committed === end)
    committed = state.committed
    isKnown = committed < end
    if (committed === end && end < size) return state
    return isStuck ? yield* cut("the store took nothing") : yield* step
  })

  const again = Effect.tapError(step, () =>
    Effect.sync(() => {
      isKnown = false
    })
  )
  return GcsPolicy.retry(gcs.config, again)
}

/** A session that is gone, or has other bytes than were sent, is of no more use; the put may begin anew. */
const translateChunk = (at: Rules.At) => (fault: GcsFault) =>
  fault.status === 404 || fault.status === 410
    ? new StorageUnavailable({ ...at, cause: fault })
    : translate(at)(GcsSent.damageIsTransient(fault))

export const put = Effect.fnUntraced(function* (gcs: Gcs.Gcs, at: Rules.At, object: NewObject, size: number) {
  const chunkSize = Math.max(granule, gcs.config.chunkSize - (gcs.config.chunkSize % granule))
  const session = yield* Effect.mapError(start(gcs, object, size), translate(at))
  const { next } = yield* GcsChunks.make(at, object.body, size, chunkSize)
  const found = (sum: GcsSent.Sum) =>
    Effect.mapError(GcsPolicy.retry(gcs.config, GcsSent.existing(gcs, object.key, sum)), translate(at))
  let sum = 0
  let open = session
  while (true) {
    const chunk = yield* next
    sum = crc32c(chunk.bytes, sum)
    const whole = { size, crc32c: sum }
    const isLast = chunk.end === size
    if (Option.isSome(open)) {
      const sending = sendChunk(gcs, open.value, chunk, size, isLast ? Option.some(whole) : Option.none())
      const state = yield* Effect.mapError(Gcs.unless(412)(sending), translateChunk(at))
      // An object is in the way. Whether it is this one is known when all bytes are.
      if (Option.isNone(state)) open = Option.none()
      else if ("made" in state.value)
        return yield* Effect.mapError(GcsSent.checked(gcs, state.value.made, whole), translate(at))
    }
    if (isLast) return yield* found(whole)
  }
}, Effect.scoped)

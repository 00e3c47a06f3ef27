/** Puts the object of a chunk, and finds it again. The audio is in memory only until the store has it. */
import { crc32c } from "@node-rs/crc32"
import { Effect, Exit, Stream } from "effect"
import { type Saturated, StorageBulkheads, whileSaturated } from "../../Bulkhead.ts"
import { Bitstream, OpusPacket, Peaks } from "../../Audio.ts"
import { type ObjectHead, rereadDamaged, Storage, type StorageError } from "../../Storage.ts"
import { Protection, EncryptedRecords } from "../../Encryption.ts"
import { Opus } from "../../Opus.ts"
import { type ObjectChecksum, encryptedKey, objectKey } from "../Chunk.ts"
import { Journal } from "../Journal/Journal.ts"
import type { JournalChunk } from "../Journal/JournalChunk.ts"

/** Object names tried by one upload. The next upload continues with the following names. */
const namesAtOnce = 20

/** Of a chunk: a minute at 16 kHz. */
const usualBytes = 60 * 16_000 * 2

/** Most pooled buffers; the memory of others is freed as soon as the store has the chunk. An outage needs fewer. */
const keptBuffers = 4

export const make = Effect.gen(function* () {
  const storage = yield* Storage
  const protection = yield* Protection
  const { write: storageWrite } = yield* StorageBulkheads
  const journal = yield* Journal
  const opus = yield* Opus
  const buffers: Array<ArrayBuffer> = []
  const takeBuffer = (bytes: number): ArrayBuffer => {
    const index = buffers.findIndex(({ byteLength }) => byteLength >= bytes)
    const [pooled] = index === -1 ? [] : buffers.splice(index, 1)
    const size = Math.max(bytes, usualBytes)
    // V8 maps the memory of a resizable buffer apart from the C heap, so that the system gets it back when it is freed.
    return pooled ?? new ArrayBuffer(size, { maxByteLength: size })
  }
  /** Detaching frees the memory of a stored chunk at once: left to the garbage collector, dozens of buffers pile up. */
  const returnBuffer = (buffer: ArrayBuffer, isStored: boolean): void => {
    if (buffers.length < keptBuffers) buffers.push(buffer)
    // An aborted request may still read the memory: its object is not stored, so the memory may change, but must exist.
    else if (isStored) buffer.transfer(0)
  }

  /** The existing object if it holds the same plain bytes, which encrypt to different bytes each time. */
  const existing = (chunk: JournalChunk, key: string, plain: Uint8Array) =>
    Effect.gen(function* () {
      const { generation } = yield* storage.head(key)
      const encrypted = yield* rereadDamaged(
        Stream.mkUint8Array(
          Stream.limitBytes(storage.get(key), EncryptedRecords.encryptedSize(plain.length), () => Stream.empty)
        )
      )
      return { encrypted, generation }
    }).pipe(
      storageWrite.run(chunk.uid),
      Effect.flatMap(({ encrypted, generation }) =>
        Effect.map(protection.decrypt(chunk.uid, encrypted), (stored) => {
          if (Buffer.compare(stored, plain) !== 0) return undefined
          return { size: encrypted.length, crc32c: crc32c(encrypted), generation }
        })
      ),
      Effect.catchTag(["DecryptionFailed", "ObjectDamaged", "ObjectNotFound", "StorageRefused"], () =>
        Effect.succeed(undefined)
      )
    )

  /** `body` is `plain`, the object, or its ciphertext. The store retries by its own policy. */
  const put = (
    chunk: JournalChunk,
    plain: Uint8Array,
    body: Uint8Array,
    lastName = chunk.nameAttempts + namesAtOnce
  ): Effect.Effect<ObjectChecksum & Pick<ObjectHead, "key" | "generation">, StorageError | Saturated> => {
    const key = body === plain ? chunk.key : encryptedKey(chunk.key)
    const stored = ({ crc32c, generation, size }: Pick<ObjectHead, "size" | "crc32c" | "generation">) => ({
      key,
      generation,
      bytes: size,
      crc32c
    })
    return storage
      .put({
        key,
        body,
        contentType: "application/octet-stream",
        metadata: {
          v2_start: String(chunk.start),
          v2_samples: String(chunk.durableSamples),
          v2_sample_rate: String(chunk.sampleRate),
          codec: chunk.codec
        }
      })
      .pipe(
        storageWrite.run(chunk.uid),
        Effect.map(stored),
        Effect.catchTag("ObjectConflict", (conflict) =>
          Effect.flatMap(body === plain ? Effect.succeed(undefined) : existing(chunk, key, plain), (found) => {
            if (found !== undefined) return Effect.succeed(stored(found))
            chunk.nameAttempts++
            return chunk.nameAttempts < lastName ? put(chunk, plain, body, lastName) : conflict
          })
        )
      )
  }

  const pcmOf = ({ codec, durableSamples, sampleRate, uid }: JournalChunk, audio: Uint8Array) =>
    codec === "pcm16"
      ? Effect.succeed(audio)
      : Effect.retry(opus.decode(uid, OpusPacket.split(audio), sampleRate, durableSamples), whileSaturated)

  /** Recomputed for Opus and for a recovered chunk. A chunk that can't be decoded now has none. */
  const peaksFor = (chunk: JournalChunk, audio: Uint8Array) =>
    chunk.peaks.samples === chunk.durableSamples
      ? Effect.succeed(chunk.peaks.encode())
      : pcmOf(chunk, audio).pipe(
          Effect.map((pcm) => Peaks.peaksOf(pcm, chunk.sampleRate)),
          Effect.catch((error) =>
            Effect.as(Effect.logWarning("a chunk is stored without the peaks of its waveform", error), undefined)
          )
        )

  const storeAudio = Effect.fnUntraced(function* (chunk: JournalChunk, audio: Uint8Array<ArrayBuffer>) {
    const plain = Bitstream.of(chunk.codec, chunk.sampleRate).object(audio)
    const level = yield* protection.levelOf(chunk.uid)
    const body = level === "enhanced" ? yield* protection.encrypt(chunk.uid, plain) : plain
    chunk.mayBeStored = true
    return { ...(yield* put(chunk, plain, body)), peaks: yield* peaksFor(chunk, audio) }
  })
  const store = (chunk: JournalChunk) =>
    Effect.flatMap(journal.read(chunk, 0, chunk.durable, takeBuffer(chunk.durable)), (audio) =>
      Effect.onExit(storeAudio(chunk, audio), (exit) =>
        Effect.sync(() => returnBuffer(audio.buffer, Exit.isSuccess(exit)))
      )
    )

  const findOne = Effect.fnUntraced(function* (chunk: JournalChunk, isEncrypted: boolean) {
    let plain: Uint8Array | undefined
    for (let attempt = chunk.nameAttempts; attempt < chunk.nameAttempts + namesAtOnce; attempt++) {
      const name = objectKey(chunk, attempt)
      const key = isEncrypted ? encryptedKey(name) : name
      const head = yield* storage.head(key).pipe(
        storageWrite.run(chunk.uid),
        Effect.catchTag("ObjectNotFound", () => Effect.succeed(undefined))
      )
      if (head === undefined) return []
      plain ??= Bitstream.of(chunk.codec, chunk.sampleRate).object(yield* journal.read(chunk, 0, chunk.durable))
      const isSame = isEncrypted
        ? (yield* existing(chunk, key, plain)) !== undefined
        : head.size === plain.length && head.crc32c === crc32c(plain)
      if (isSame) return [{ key, generation: head.generation }]
    }
    return []
  })

  /** Several if the user's level has changed between uploads of the chunk. */
  const find = (chunk: JournalChunk) =>
    Effect.map(
      Effect.forEach([false, true], (isEncrypted) => findOne(chunk, isEncrypted)),
      (found) => found.flat()
    )

  return { store, find }
})

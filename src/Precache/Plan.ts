/** What an audio file consists of, and how it can be merged. */
import { Effect, Option, Stream } from "effect"
import { Wav } from "../Audio.ts"
import type { Chunk, RecordedFile } from "../Recording.ts"
import type { Composition } from "./Composition.ts"

type Piece = Effect.Success<ReturnType<RecordedFile["pieces"]>>["pieces"][number]

export interface Plan {
  /** The store has all of it. */
  readonly isStored: boolean
  readonly isEncrypted: boolean
  readonly isEmpty: boolean
  /** Every chunk is an object of plain PCM that is heard whole. */
  readonly isComposable: boolean
}

/** Applies `use` to each piece, in order, a page at a time. */
const eachPiece = Effect.fnUntraced(function* <E, R>(
  file: RecordedFile,
  use: (piece: Piece) => Effect.Effect<void, E, R>
) {
  let heard = 0
  for (let at = 0; at < file.samples;) {
    const page = yield* file.pieces(at, file.samples)
    for (const piece of page.pieces) {
      // The last piece of a page can be the first of the next.
      if (piece.offset + piece.samples <= heard) continue
      heard = piece.offset + piece.samples
      yield* use(piece)
    }
    at = page.end
  }
})

const isPlain = ({ codec, key }: Chunk) => codec === "pcm16" && key.endsWith(".bin")

/** Its object's bytes are the piece's. */
const isWhole = ({ chunk, samples, skip }: Piece) =>
  skip === 0 && samples === chunk.samples && chunk.object?.bytes === samples * 2

export const of = Effect.fnUntraced(function* (file: RecordedFile) {
  const plan = { isStored: true, isEncrypted: false, isEmpty: true, isComposable: true }
  yield* eachPiece(file, (piece) =>
    Effect.sync(() => {
      const { chunk } = piece
      plan.isEmpty = false
      if (chunk.state !== "stored") plan.isStored = false
      if (chunk.key.endsWith(".enc")) plan.isEncrypted = true
      if (!isPlain(chunk) || !isWhole(piece)) plan.isComposable = false
    })
  )
  const found: Plan = plan
  return found
})

/** Byte ranges of the file as WAV, in order. Each has one chunk, whole, so that a read of it verifies the chunk's checksum. */
export function slices(file: RecordedFile) {
  const size = Wav.size(file, "wav")
  const lead = size - Wav.size(file, "pcm")
  return Stream.paginate({ at: 0, heard: 0, from: 0 }, (begun) =>
    Effect.map(file.pieces(begun.at, file.samples), ({ end, pieces }) => {
      let { from, heard } = begun
      const ranges: Array<Wav.Range> = []
      for (const { offset, samples } of pieces.filter((piece) => piece.offset + piece.samples > begun.heard)) {
        const start = heard === 0 ? 0 : lead + offset * Wav.bytesPerSample
        if (start > from) ranges.push({ start: from, end: start })
        from = start
        heard = offset + samples
      }
      if (end < file.samples) return [ranges, Option.some({ at: end, heard, from })] as const
      return [[...ranges, { start: from, end: size }], Option.none()] as const
    })
  )
}

/** As WAV. The file is composable. */
export const compose = Effect.fnUntraced(function* (file: RecordedFile, composition: Composition) {
  let at = 0
  const silence = (until: number) => composition.silence((until - at) * Wav.bytesPerSample)
  yield* composition.bytes(Wav.header(file.sampleRate, file.samples))
  yield* eachPiece(file, ({ chunk, offset, samples }) =>
    Effect.gen(function* () {
      yield* silence(offset)
      const { bytes, crc32c } = chunk.object ?? { bytes: 0, crc32c: 0 }
      yield* composition.object({ key: chunk.key, size: bytes, crc32c })
      at = offset + samples
    })
  )
  yield* silence(file.samples)
})

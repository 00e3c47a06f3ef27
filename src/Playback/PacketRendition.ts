/** An Opus audio file as Ogg, with its packets as they were recorded. Its size is known at the end. */
import { Effect, Option, Stream } from "effect"
import { OggStream } from "../Audio.ts"
import type { RecordedFile, Recording } from "../Recording.ts"
import { explained, logChange, readAhead, type Rendition, type RenditionFailure } from "./Rendition.ts"

export function make({ packets }: Pick<Recording["Service"], "packets">, file: RecordedFile, etag: string): Rendition {
  const { id, sampleRate, samples } = file

  /** Reads one chunk at a time, when the pages of the one before have been sent. */
  const pages = Stream.suspend((): Stream.Stream<Uint8Array, RenditionFailure> => {
    const stream = new OggStream(id, sampleRate, samples)
    const pieces = Stream.paginate(0, (at) =>
      Effect.map(
        Effect.tapError(file.pieces(at, samples), logChange),
        ({ end, pieces }) => [pieces, end < samples ? Option.some(end) : Option.none()] as const
      )
    )
    const audible = Stream.mapEffect(Stream.rechunk(pieces, 1), ({ chunk, offset, samples, skip }) =>
      Effect.map(explained(chunk)(packets(chunk)), (packets) => {
        stream.add(packets, (offset - skip) / sampleRate, (offset + samples) / sampleRate)
        return stream.take()
      })
    )
    const last = Stream.sync(() => {
      stream.end()
      return stream.take()
    })
    return Stream.filter(Stream.concat(audible, last), ({ length }) => length > 0)
  })

  return { file, format: "ogg", size: undefined, etag, begin: () => readAhead(pages, 1) }
}

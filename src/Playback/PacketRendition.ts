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
    /** A gap of lost audio can be of many hours: each part of it is made when the one before has been sent. */
    const silence = (to: number) =>
      Stream.paginate(undefined, () =>
        Effect.sync(() => {
          if (stream.fill(to)) return [[], Option.none()] as const
          return [[stream.take()], Option.some(undefined)] as const
        })
      )
    const audible = Stream.flatMap(Stream.rechunk(pieces, 1), ({ chunk, offset, samples, skip }) => {
      const begin = (offset - skip) / sampleRate
      const sound = Effect.map(explained(chunk)(packets(chunk)), (packets) => {
        stream.add(packets, begin, (offset + samples) / sampleRate)
        return stream.take()
      })
      return Stream.concat(silence(begin), Stream.fromEffect(sound))
    })
    const last = Stream.sync(() => {
      stream.end()
      return stream.take()
    })
    return Stream.filter(
      audible.pipe(Stream.concat(Stream.suspend(() => silence(Infinity))), Stream.concat(last)),
      ({ length }) => length > 0
    )
  })

  return { file, format: "ogg", size: undefined, etag, begin: () => readAhead(pages, 1) }
}

/** A conversation, or the part of it between two times, as one file. */
import { Context, Effect, Layer, Option, Schema, Stream } from "effect"
import { Wav } from "../../Audio.ts"
import type { DbError } from "../../Db.ts"
import { Playback, type Rendition, type RenditionFailure } from "../../Playback.ts"
import { filesBefore, Recording } from "../../Recording.ts"
import * as Concatenation from "../Rendition/Concatenation.ts"
import * as PieceStream from "../Rendition/PieceStream.ts"
import * as RenditionResponse from "../Rendition/RenditionResponse.ts"
import * as Zip from "./Zip.ts"

/** More audio files than one export has. */
export class TooManyFiles extends Schema.TaggedError<TooManyFiles>()("TooManyFiles", {
  conversation: Schema.String,
  limit: Schema.Int,
  format: Schema.Literals(["wav", "ogg", "zip"])
}) {}

export class NothingToExport extends Schema.TaggedError<NothingToExport>()("NothingToExport", {
  conversation: Schema.String
}) {}

/** One file has one sample rate. */
export class SeveralSampleRates extends Schema.TaggedError<SeveralSampleRates>()("SeveralSampleRates", {
  conversation: Schema.String
}) {}

/** Unix seconds; `to` is exclusive. */
export interface Window {
  readonly from?: number | undefined
  readonly to?: number | undefined
}

interface Name {
  readonly uid: string
  readonly conversation: string
}

export type Format = "wav" | "ogg" | "zip"

/** Audio files in one export: every one needs a place in memory and, in an archive, a name. */
export const maxFiles = { wav: 1_000, ogg: 1_000, zip: 10_000 }
const filesOfPage = 1_000

type ExportRendition = Rendition<RenditionFailure, string | undefined>
type Failure = TooManyFiles | NothingToExport | SeveralSampleRates | DbError

export class Export extends Context.Service<
  Export,
  {
    /** What is durable now. None if the user has no such conversation. */
    open(name: Name, window: Window, format: Format): Effect.Effect<Option.Option<ExportRendition>, Failure>
  }
>()("spillway/Playback/Export/Export") {
  static readonly layer = Layer.effect(
    Export,
    Effect.suspend(() => make)
  )
}

type Part = Concatenation.Part

/** At least the bytes of an archive before its first audio, besides the manifest. */
const headBytes = 1_024

const startOf = ({ file, from }: Part): number => file.start + from / file.sampleRate

const manifestOf = (
  conversation: string,
  { from, to }: Window,
  parts: ReadonlyArray<Part>,
  names: ReadonlyArray<string>
) => {
  const files = parts.map((part, index) => {
    const { file, from, to } = part
    const isWhole = from === 0 && to === file.samples
    return {
      name: names[index],
      id: file.id,
      started_at: RenditionResponse.isoOf(startOf(part)),
      duration: (to - from) / file.sampleRate,
      sample_rate: file.sampleRate,
      // Of a part of a file they are not known.
      captured_duration: isWhole ? file.capturedSamples / file.sampleRate : null,
      lost_seconds: isWhole ? file.lostSamples / file.sampleRate : null
    }
  })
  const isoOrNull = (seconds: number | undefined) => (seconds === undefined ? null : RenditionResponse.isoOf(seconds))
  return Buffer.from(`${JSON.stringify({ conversation, from: isoOrNull(from), to: isoOrNull(to), files }, null, 2)}\n`)
}

const make = Effect.gen(function* () {
  const playback = yield* Playback
  const recording = yield* Recording

  /** By start. Undefined if the user has no such conversation. */
  const select = Effect.fnUntraced(function* (
    { conversation, uid }: { readonly uid: string; readonly conversation: string },
    { from = -Infinity, to = Infinity }: Window,
    format: Format
  ) {
    const parts: Array<Part> = []
    const limit = maxFiles[format]
    for (let before = Number.isFinite(to) ? filesBefore(to) : undefined; ;) {
      const page = Option.getOrUndefined(
        yield* recording.files(uid, conversation, { files: filesOfPage, ...(before === undefined ? {} : { before }) })
      )
      if (page === undefined) return undefined
      for (const file of page.files.toReversed()) {
        const part = { file, from: Concatenation.sampleAt(file, from), to: Concatenation.sampleAt(file, to) }
        if (part.from < part.to) parts.push(part)
      }
      if (parts.length > limit) return yield* new TooManyFiles({ conversation, limit, format })
      const [oldest] = page.files
      if (page.filesNext === undefined || oldest === undefined || oldest.start <= from) return parts.toReversed()
      before = page.filesNext
    }
  })

  const archive = (name: Name, window: Window, first: Part, parts: ReadonlyArray<Part>): ExportRendition => {
    const { conversation, uid } = name
    const digits = Math.max(4, String(parts.length).length)
    const names = parts.map(
      (part, index) => `${String(index + 1).padStart(digits, "0")}-${RenditionResponse.stampOf(startOf(part))}.wav`
    )
    const manifest = manifestOf(conversation, window, parts, names)
    const files = parts.map((part, index) => {
      const size = Wav.size({ samples: part.to - part.from }, "wav")
      const content = Stream.suspend(() => {
        const file = Concatenation.concatenate(part.file.id, [part]) ?? part.file
        return PieceStream.streamOf(playback.render(uid, file, "wav"), { start: 0, end: size })
      })
      return { name: names[index] ?? "", size, modified: startOf(part), content }
    })
    const description = {
      name: "manifest.json",
      size: manifest.length,
      modified: startOf(first),
      content: Stream.succeed([manifest])
    }
    const entries = [description, ...files]
    return {
      file: { ...first.file, start: startOf(first), lostSamples: 0 },
      format: "zip",
      size: Zip.sizeOf(entries),
      etag: undefined,
      begin: () => PieceStream.begin(Zip.archive(entries), manifest.length + headBytes)
    }
  }

  return Export.of({
    open: Effect.fn("Export.open")(function* (name, window, format) {
      const { conversation, uid } = name
      const parts = yield* select(name, window, format)
      if (parts === undefined) return Option.none()
      const [first] = parts
      if (first === undefined) return yield* new NothingToExport({ conversation })
      if (format === "zip") return Option.some(archive(name, window, first, parts))
      const whole = Concatenation.concatenate("export", parts)
      if (whole === undefined) return yield* new SeveralSampleRates({ conversation })
      return Option.some(playback.render(uid, whole, format))
    })
  })
})

/** WAV input for streaming: files are read at any position, pipes in order. Channels are mixed to their mean. */
import { Effect, FileSystem, Schema, Stdio, Stream } from "effect"
import type { PlatformError, Scope } from "effect"
import { systemReason } from "../../SystemReason.ts"
import * as WavReader from "../../WavReader.ts"
import * as WavPipe from "./WavPipe.ts"

/** The file holds no audio that can be sent. `found` describes what it is: "an MP3 file". */
export class UnsupportedWav extends Schema.TaggedError<UnsupportedWav>()("UnsupportedWav", {
  file: Schema.String,
  found: Schema.String
}) {
  override get message() {
    return `${this.file} is ${this.found}; only WAV files with 16-bit PCM, 1 to 8 channels, 8000 to 48000 Hz can be sent. Convert it: ffmpeg -i '${this.file.replaceAll("'", "'\\''")}' -ac 1 -ar 16000 -c:a pcm_s16le out.wav`
  }
}

export class UnreadableFile extends Schema.TaggedError<UnreadableFile>()("UnreadableFile", {
  file: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return this.reason === "no such file or directory"
      ? `There is no file ${this.file}.`
      : `${this.file} can't be read (${this.reason}).`
  }
}

export type Failure = UnreadableFile | UnsupportedWav

/** Length of the audio: known at once for a file, at the end for a pipe. */
export interface Extent {
  readonly samples: number
  /** Samples that the header announces and the file lacks. */
  readonly missing: number
}

export interface Wav {
  readonly sampleRate: number
  /** Channels of the file; what is read is their mean. */
  readonly channels: number
  /** The header has no sizes, so everything after it counts as audio. */
  readonly isUnfinished: boolean
  /** Undefined until the end of a pipe is reached. */
  readonly extent: () => Extent | undefined
  /** Mono PCM16 of the samples from `from` up to, not including, `to`. Fewer samples mean the end. */
  read(from: number, to: number): Effect.Effect<Uint8Array, Failure>
  /** Frees the samples before this one; they are never read again. */
  release(sample: number): void
}

/** Paths of standard input. It can be a socket, which can't be opened by path. */
const standardInput = ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"]

/** Opens the file for the lifetime of the scope. */
export const open = Effect.fnUntraced(function* (
  file: string
): Effect.fn.Return<Wav, Failure, FileSystem.FileSystem | Stdio.Stdio | Scope.Scope> {
  const fs = yield* FileSystem.FileSystem
  const isStandardInput = standardInput.includes(file)
  const path = file === "-" ? "/dev/stdin" : file
  const unreadable = (error: PlatformError.PlatformError) => new UnreadableFile({ file, reason: systemReason(error) })
  const unsupported = ({ found }: WavReader.Unsupported) => new UnsupportedWav({ file, found })
  const { size, type } = yield* Effect.mapError(fs.stat(path), unreadable)
  if (type === "File") return yield* openFile(path, Number(size), unreadable, unsupported)
  if (type === "Directory") return yield* new UnreadableFile({ file, reason: "a directory" })
  const bytes = isStandardInput
    ? Stream.mapError((yield* Stdio.Stdio).stdin, unreadable)
    : WavPipe.readNamed(path, () => new UnreadableFile({ file, reason: "a pipe that broke" }))
  return yield* WavPipe.open(bytes, unsupported)
})

const openFile = Effect.fnUntraced(function* (
  path: string,
  size: number,
  unreadable: (error: PlatformError.PlatformError) => UnreadableFile,
  unsupported: (wrong: WavReader.Unsupported) => UnsupportedWav
) {
  const fs = yield* FileSystem.FileSystem
  const handle = yield* Effect.mapError(fs.open(path), unreadable)

  /** Returns `count` bytes, fewer only at the end of the file. */
  const bytesAt = Effect.fnUntraced(function* (offset: number, count: number) {
    const bytes = new Uint8Array(Math.max(0, Math.min(count, size - offset)))
    yield* handle.seek(BigInt(offset), "start")
    let filled = 0
    while (filled < bytes.length) {
      const read = Number(yield* handle.read(bytes.subarray(filled)))
      if (read === 0) break
      filled += read
    }
    return bytes.subarray(0, filled)
  }, Effect.mapError(unreadable))

  const reading = WavReader.read(size)
  let start = 0
  let step = reading.next(new Uint8Array(0))
  while (step.done !== true) {
    start += step.value.skip
    step = reading.next(yield* bytesAt(start, step.value.peek))
  }
  const audio = step.value
  if ("found" in audio) return yield* unsupported(audio)
  const extent = WavReader.extent(audio, size - start)
  const frame = WavReader.frameBytes(audio)
  const wav: Wav = {
    sampleRate: audio.sampleRate,
    channels: audio.channels,
    isUnfinished: audio.isUnfinished,
    extent: () => extent,
    read: (from, to) => {
      const count = Math.max(0, Math.min(to, extent.samples) - from) * frame
      return Effect.flatMap(bytesAt(start + from * frame, count), (bytes) =>
        bytes.length === count
          ? Effect.succeed(WavReader.toMono(bytes, audio.channels))
          : unsupported({ found: "shorter than it was when it was opened" })
      )
    },
    release: () => {}
  }
  return wav
})

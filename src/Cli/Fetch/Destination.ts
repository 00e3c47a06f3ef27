/** Destination of a download: standard output, or a file that gets its name when it is complete. */
import { Effect, FileSystem, Option, Schema } from "effect"
import type { PlatformError, Scope } from "effect"
import { systemReason } from "../../SystemReason.ts"

/** The reader of standard output closed it. */
export class OutputClosed extends Schema.TaggedError<OutputClosed>()("OutputClosed", {}) {
  override get message() {
    return "Standard output was closed before all was written."
  }
}

/** The file can't be created or written. `reason` is the system's. */
export class OutputUnwritable extends Schema.TaggedError<OutputUnwritable>()("OutputUnwritable", {
  path: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `Can't write ${this.path} (${this.reason}). Name another file with -o, in a directory that exists and has room.`
  }
}

/** Standard output can't be rewound. */
export class OutputOutdated extends Schema.TaggedError<OutputOutdated>()("OutputOutdated", {}) {
  override get message() {
    return "The audio has changed since the first part of it was written to standard output. Try again, or write to a file."
  }
}

type Failure = OutputUnwritable | OutputClosed | OutputOutdated

export interface Destination {
  /** For messages. */
  readonly name: string
  write(bytes: Uint8Array): Effect.Effect<void, Failure>
  /** Discards everything written. */
  readonly restart: Effect.Effect<void, Failure>
  /** Ends an incomplete download. Returns the path of the partial file, which is kept if `worth`. */
  abandon(worth: boolean): Effect.Effect<Option.Option<string>, Failure>
  /** Makes the complete download durable under its name. */
  readonly finish: Effect.Effect<void, Failure>
}

/** Open for the lifetime of the scope. The name ends in `.part` until the download is complete. */
export const file = Effect.fnUntraced(function* (
  name: string
): Effect.fn.Return<Destination, OutputUnwritable, FileSystem.FileSystem | Scope.Scope> {
  const fs = yield* FileSystem.FileSystem
  const part = `${name}.part`
  const unwritable = <A, R>(effect: Effect.Effect<A, PlatformError.PlatformError, R>) =>
    Effect.mapError(effect, (error) => new OutputUnwritable({ path: name, reason: systemReason(error) }))
  // Otherwise only the rename would fail, after the whole download.
  const type = yield* Effect.option(Effect.map(fs.stat(name), (info) => info.type))
  if (Option.contains(type, "Directory")) return yield* new OutputUnwritable({ path: name, reason: "a directory" })
  const file = yield* unwritable(fs.open(part, { flag: "w" }))
  return {
    name,
    write: (bytes) => unwritable(file.writeAll(bytes)),
    restart: unwritable(Effect.andThen(file.truncate(0), file.seek(0n, "start"))),
    abandon: (worth) =>
      worth ? Effect.succeedSome(part) : unwritable(Effect.as(fs.remove(part, { force: true }), Option.none())),
    finish: unwritable(Effect.andThen(file.sync, fs.rename(part, name)))
  }
})

/** Waits for each write, so that a slow reader slows the download. */
export const standardOutput: Effect.Effect<Destination> = Effect.sync(() => {
  const { stdout } = process
  let written = false
  // The callback of `write` reports the error.
  stdout.on("error", () => {})
  return {
    name: "standard output",
    write: (bytes) =>
      Effect.callback<void, OutputClosed>((resume) => {
        written = true
        stdout.write(bytes, (error) => resume(error ? new OutputClosed() : Effect.void))
      }),
    restart: Effect.suspend(() => (written ? new OutputOutdated() : Effect.void)),
    abandon: () => Effect.succeedNone,
    finish: Effect.void
  }
})

/** Where a download goes: a file that gets its name when it is whole, or standard output. */
import { Effect, FileSystem, Option, Schema } from "effect"
import type { PlatformError, Scope } from "effect"

/** What reads standard output has ended. */
export class OutputClosed extends Schema.TaggedError<OutputClosed>()("OutputClosed", {}) {
  override get message() {
    return "Standard output was closed before all was written."
  }
}

/** What is written can't be taken back. */
export class OutputOutdated extends Schema.TaggedError<OutputOutdated>()("OutputOutdated", {}) {
  override get message() {
    return "The audio has changed since the first part of it was written to standard output. Try again, or write to a file."
  }
}

type Failure = PlatformError.PlatformError | OutputClosed | OutputOutdated

export interface Destination {
  /** As people read it. */
  readonly name: string
  write(bytes: Uint8Array): Effect.Effect<void, Failure>
  /** All that was written is void. */
  readonly restart: Effect.Effect<void, Failure>
  /** There will be no more; of what was written, what is `worth` something is kept. Where it is, if there is something. */
  abandon(worth: boolean): Effect.Effect<Option.Option<string>, Failure>
  /** All is written. */
  readonly finish: Effect.Effect<void, Failure>
}

/** Open as long as the scope. Until it is finished its name ends in `.part`. */
export const file = Effect.fnUntraced(function* (
  name: string
): Effect.fn.Return<Destination, PlatformError.PlatformError, FileSystem.FileSystem | Scope.Scope> {
  const fs = yield* FileSystem.FileSystem
  const part = `${name}.part`
  const file = yield* fs.open(part, { flag: "w" })
  return {
    name,
    write: (bytes) => file.writeAll(bytes),
    restart: Effect.andThen(file.truncate(0), file.seek(0n, "start")),
    abandon: (worth) => (worth ? Effect.succeedSome(part) : Effect.as(fs.remove(part, { force: true }), Option.none())),
    finish: Effect.andThen(file.sync, fs.rename(part, name))
  }
})

/** Waits for each write, so that a slow reader slows the download down. */
export const standardOutput: Effect.Effect<Destination> = Effect.sync(() => {
  const { stdout } = process
  let written = false
  // The failed write says so itself.
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

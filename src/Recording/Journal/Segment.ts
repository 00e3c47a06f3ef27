/** A file of the journal. All file system access of the journal but reads in threads is here. */
import { Effect, FileSystem, Metric, Path, Schema } from "effect"
import * as Fs from "node:fs"
import * as NodePath from "node:path"
import { systemReason } from "../../SystemReason.ts"
import type { JournalChunk } from "./JournalChunk.ts"

/** The journal's files can't be written or read; `operation` says which call failed. */
export class JournalError extends Schema.TaggedError<JournalError>()("JournalError", {
  operation: Schema.String,
  path: Schema.String,
  cause: Schema.Defect(),
  /** No reader responds: nothing is known about the file. */
  isTransient: Schema.optionalKey(Schema.Boolean)
}) {
  override get message() {
    return `the journal can't ${this.operation} ${this.path}: ${systemReason(this.cause)}`
  }
}

/** Uninterruptible: a file must not be closed during a call in the thread pool. */
const call = <A>(
  operation: string,
  path: string,
  run: (done: (error: Error | null, value: A) => void) => void
): Effect.Effect<A, JournalError> =>
  Effect.uninterruptible(
    Effect.callback((resume) =>
      run((error, value) =>
        resume(error === null ? Effect.succeed(value) : new JournalError({ operation, path, cause: error }))
      )
    )
  )

const callVoid = (operation: string, path: string, run: (done: (error: Error | null) => void) => void) =>
  call<void>(operation, path, (done) => run((error) => done(error, undefined)))

const digits = 16

export class Segment {
  readonly number: number
  readonly path: string
  size: number
  readonly live = new Set<JournalChunk>()
  /** Has unusable bytes; the file is quarantined instead of deleted. */
  damaged = false
  readonly #fd: number
  #readers = 0
  #retired = false
  #closed = false

  constructor(number: number, path: string, fd: number, size: number) {
    this.number = number
    this.path = path
    this.#fd = fd
    this.size = size
  }

  /** Appends all bytes; overwrites what a failed write left after `size`. */
  append(bytes: Uint8Array): Effect.Effect<void, JournalError> {
    const writeFrom = (offset: number): Effect.Effect<void, JournalError> =>
      call<number>("write", this.path, (done) =>
        Fs.write(this.#fd, bytes, offset, bytes.length - offset, this.size + offset, done)
      ).pipe(Effect.flatMap((written) => (offset + written < bytes.length ? writeFrom(offset + written) : Effect.void)))
    return Effect.tap(writeFrom(0), () =>
      Effect.sync(() => {
        this.size += bytes.length
      })
    )
  }

  get sync(): Effect.Effect<void, JournalError> {
    return callVoid("fdatasync", this.path, (done) => Fs.fdatasync(this.#fd, done))
  }

  truncate(size: number): Effect.Effect<void, JournalError> {
    return callVoid("truncate", this.path, (done) => Fs.ftruncate(this.#fd, size, done)).pipe(
      Effect.andThen(this.sync),
      Effect.tap(() =>
        Effect.sync(() => {
          this.size = size
        })
      )
    )
  }

  /** Valid in reader threads while the segment is held. */
  get fd(): number {
    return this.#fd
  }

  get closedError(): JournalError | undefined {
    return this.#closed
      ? new JournalError({ operation: "read", path: this.path, cause: new Error("the segment was deleted") })
      : undefined
  }

  /** Keeps the file open until `release`, also after `retire`. */
  hold(): void {
    this.#readers++
  }

  release(): void {
    this.#readers--
    this.#closeIfIdle()
  }

  /** Reads at `position` until `target` is full or the file ends; returns the bytes read. */
  read(target: Uint8Array, position: number): Effect.Effect<number, JournalError> {
    const readFrom = (offset: number): Effect.Effect<number, JournalError> =>
      call<number>("read", this.path, (done) =>
        Fs.read(this.#fd, target, offset, target.length - offset, position + offset, done)
      ).pipe(
        Effect.flatMap((count) =>
          count === 0 || offset + count === target.length ? Effect.succeed(offset + count) : readFrom(offset + count)
        )
      )
    return Effect.acquireUseRelease(
      Effect.suspend(() => {
        if (this.closedError !== undefined) return this.closedError
        this.hold()
        return Effect.void
      }),
      () => readFrom(0),
      () => Effect.sync(() => this.release())
    )
  }

  get tooShort(): JournalError {
    const cause = new Error("the file is shorter than its records")
    return new JournalError({ operation: "read", path: this.path, cause })
  }

  /** Deletes or quarantines the file; current readers finish. */
  get retire(): Effect.Effect<void, JournalError> {
    return (
      this.damaged
        ? callVoid("quarantine", this.path, (done) => Fs.rename(this.path, `${this.path}.damaged`, done))
        : callVoid("delete", this.path, (done) => Fs.unlink(this.path, done))
    ).pipe(
      Effect.ensuring(
        Effect.sync(() => {
          this.#retired = true
          this.#closeIfIdle()
        })
      )
    )
  }

  get close(): Effect.Effect<void> {
    return Effect.sync(() => {
      this.#retired = true
      this.#closeIfIdle()
    })
  }

  #closeIfIdle(): void {
    if (!this.#retired || this.#closed || this.#readers > 0) return
    this.#closed = true
    // The last reference to a deleted file frees all of its pages.
    Fs.close(this.#fd, () => {})
  }
}

const open = (directory: string, number: number, flags: string, size: number) => {
  const path = NodePath.join(directory, `${String(number).padStart(digits, "0")}.wal`)
  return call<number>("open", path, (done) => Fs.open(path, flags, 0o600, done)).pipe(
    Effect.map((fd) => new Segment(number, path, fd, size))
  )
}

const syncDirectory = (directory: string): Effect.Effect<void, JournalError> =>
  Effect.acquireUseRelease(
    call<number>("open", directory, (done) => Fs.open(directory, "r", done)),
    (fd) => callVoid("fsync", directory, (done) => Fs.fsync(fd, done)),
    (fd) => Effect.sync(() => Fs.closeSync(fd))
  )

export function create(directory: string, number: number): Effect.Effect<Segment, JournalError> {
  return Effect.flatMap(open(directory, number, "wx+", 0), (segment) =>
    syncDirectory(directory).pipe(
      Effect.as(segment),
      Effect.onError(() => Effect.ignore(segment.retire))
    )
  ).pipe(Effect.uninterruptible)
}

/** Opens the segments in `directory`, by number; creates the directory if it is missing. */
export const openAll = Effect.fnUntraced(function* (directory: string) {
  yield* callVoid("create", directory, (done) =>
    Fs.mkdir(directory, { recursive: true, mode: 0o700 }, (error) => done(error))
  )
  const names = yield* call<Array<string>>("list", directory, (done) => Fs.readdir(directory, done))
  const numbers = names
    .filter((name) => /^\d{16}\.wal$/.test(name))
    .map((name) => Number(name.slice(0, digits)))
    .sort((a, b) => a - b)
  return yield* Effect.forEach(numbers, (number) =>
    Effect.gen(function* () {
      const segment = yield* open(directory, number, "r+", 0)
      const stat = yield* call<Fs.Stats>("stat", segment.path, (done) => Fs.stat(segment.path, done))
      segment.size = stat.size
      return segment
    })
  )
})

const damagedBytes = Metric.gauge("spillway_journal_damaged_bytes", {
  description: "Bytes of quarantined journal segments"
})

/** Deletes the oldest quarantined segments until at most `limit` bytes are left; returns the files and bytes left. */
export const trimQuarantine = Effect.fnUntraced(
  function* (directory: string, limit: number) {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const names = (yield* fs.readDirectory(directory)).filter((name) => name.endsWith(".damaged")).sort()
    const files = yield* Effect.forEach(names, (name) =>
      Effect.map(fs.stat(path.join(directory, name)), ({ size }) => ({ name, bytes: Number(size) }))
    )
    let bytes = files.reduce((sum, file) => sum + file.bytes, 0)
    while (bytes > limit) {
      const oldest = files.shift()
      if (oldest === undefined) break
      bytes -= oldest.bytes
      yield* fs.remove(path.join(directory, oldest.name), { force: true })
      yield* Effect.logWarning(
        `deleted the damaged journal segment ${oldest.name}: the quarantine is limited to ${limit} bytes`
      )
    }
    yield* Metric.update(damagedBytes, bytes)
    return { files: files.length, bytes }
  },
  (effect, directory) =>
    Effect.mapError(effect, (cause) => new JournalError({ operation: "clean up", path: directory, cause }))
)

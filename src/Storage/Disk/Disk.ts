/**
 * node:fs as effects. Effect's `FileSystem` has no link and no gathered write, and hides the errno. Calls are
 * uninterruptible: closing a descriptor during a call would let the system reuse it.
 */
import { Effect } from "effect"
import * as fs from "node:fs"
import { DiskFault } from "./Fault.ts"

const fault = (cause: NodeJS.ErrnoException) => new DiskFault({ code: cause.code ?? "UNKNOWN", cause })

type Callback<A> = (error: NodeJS.ErrnoException | null, value: A) => void

const call = <A = void>(register: (callback: Callback<A>) => void): Effect.Effect<A, DiskFault> =>
  Effect.uninterruptible(
    Effect.callback<A, DiskFault>((resume) =>
      register((error, value) => resume(error === null ? Effect.succeed(value) : Effect.fail(fault(error))))
    )
  )

/** Creates a file that only this user can read. Fails with EEXIST if it exists. */
export function create(path: string) {
  return call<number>((done) => fs.open(path, "wx", 0o600, done))
}
export function open(path: string) {
  return call<number>((done) => fs.open(path, "r", done))
}
/** Opens an existing file for appending. */
export function openAtEnd(path: string) {
  return call<number>((done) => fs.open(path, "a", done))
}
/** Copies a file; shares its blocks where the file system can. */
export function copy(from: string, to: string) {
  return call((done) =>
    fs.copyFile(from, to, fs.constants.COPYFILE_EXCL | fs.constants.COPYFILE_FICLONE, (e) => done(e))
  )
}
export function truncate(fd: number, size: number) {
  return call((done) => fs.ftruncate(fd, size, (error) => done(error)))
}
export function close(fd: number) {
  return call((done) => fs.close(fd, (error) => done(error ?? null)))
}
/** Closes a descriptor that was only read from. Synchronous, because there is nothing to write; the result has no meaning. */
export function discard(fd: number): void {
  // edge: the error has no meaning.
  try {
    fs.closeSync(fd)
  } catch {}
}
/** Free for this user on the file system of the path. */
export function freeBytes(path: string) {
  const found = call<fs.StatsFs>((done) => fs.statfs(path, done))
  return Effect.map(found, ({ bavail, bsize }) => bavail * bsize)
}
export function link(from: string, to: string) {
  return call((done) => fs.link(from, to, (error) => done(error)))
}
export function rename(from: string, to: string) {
  return call((done) => fs.rename(from, to, (error) => done(error)))
}
export function unlink(path: string) {
  return call((done) => fs.unlink(path, (error) => done(error)))
}
export function removeDirectory(path: string) {
  return call((done) => fs.rmdir(path, (error) => done(error)))
}
export function names(path: string) {
  return call<Array<string>>((done) => fs.readdir(path, done))
}
export function modifiedAt(path: string) {
  return Effect.map(
    call<fs.Stats>((done) => fs.stat(path, done)),
    (stats) => stats.mtimeMs
  )
}

/** Fails unless this process can create and remove files in the directory. */
export function checkWritable(path: string) {
  return call((done) =>
    fs.access(path, fs.constants.R_OK | fs.constants.W_OK | fs.constants.X_OK, (error) => done(error))
  )
}

/** Creates one directory; fails with EEXIST if it exists. Node's recursive mode fails during concurrent removals. */
export function makeDirectory(path: string) {
  return call((done) => fs.mkdir(path, 0o700, (error) => done(error)))
}

export function makeDirectories(path: string) {
  return call((done) => fs.mkdir(path, { recursive: true, mode: 0o700 }, (error) => done(error)))
}

/** Synchronous, because the properties of an open file are in memory. */
export function statOf(fd: number): Effect.Effect<fs.Stats> {
  return Effect.sync(() => fs.fstatSync(fd))
}

/** Makes the file's bytes and size durable. */
export function syncData(fd: number) {
  return call((done) => fs.fdatasync(fd, (error) => done(error)))
}

/** Makes the directory's entries durable. */
export function syncDirectory(path: string): Effect.Effect<void, DiskFault> {
  return Effect.acquireUseRelease(
    open(path),
    (fd) => call((done) => fs.fsync(fd, (error) => done(error))),
    (fd) => Effect.ignore(close(fd))
  )
}

/** Up to `length` bytes from `position`; fewer only at the end of the file. */
export function read(fd: number, length: number, position: number): Effect.Effect<Uint8Array, DiskFault> {
  return Effect.suspend(() => readInto(fd, new Uint8Array(Buffer.allocUnsafeSlow(length).buffer), position))
}

/** Fills the buffer from `position`; the result is shorter only at the end of the file. */
export function readInto(fd: number, buffer: Uint8Array, position: number): Effect.Effect<Uint8Array, DiskFault> {
  const { length } = buffer
  const fill = (filled: number): Effect.Effect<Uint8Array, DiskFault> =>
    Effect.flatMap(
      call<number>((done) => fs.read(fd, buffer, filled, length - filled, position + filled, done)),
      (count) => {
        if (count === 0) return Effect.succeed(buffer.subarray(0, filled))
        return filled + count === length ? Effect.succeed(buffer) : fill(filled + count)
      }
    )
  return length === 0 ? Effect.succeed(buffer) : fill(0)
}

/** Fills the buffer from `position` in one read. The descriptor stays open until `done`. */
export function readOnce(fd: number, buffer: Uint8Array, position: number, done: (isFilled: boolean) => void): void {
  fs.read(fd, buffer, 0, buffer.length, position, (error, count) => done(error === null && count === buffer.length))
}

/** Appends all bytes; in one call unless the write is partial. */
export function append(fd: number, parts: ReadonlyArray<Uint8Array>): Effect.Effect<void, DiskFault> {
  return Effect.flatMap(
    call<number>((done) => fs.writev(fd, parts, done)),
    (count) => {
      const rest = after(parts, count)
      return rest.length === 0 ? Effect.void : append(fd, rest)
    }
  )
}

const after = (parts: ReadonlyArray<Uint8Array>, count: number): ReadonlyArray<Uint8Array> => {
  let skip = count
  return parts.flatMap((part) => {
    const rest = part.subarray(Math.min(skip, part.length))
    skip -= part.length - rest.length
    return rest.length === 0 ? [] : [rest]
  })
}

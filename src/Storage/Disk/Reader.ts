/** Reads the heads and bytes of objects from disk. */
import { crc32c } from "@node-rs/crc32"
import { Effect, Metric, Option, Stream } from "effect"
import type { Scope } from "effect"
import { ObjectDamaged, ObjectNotFound, ReadBuffers, StorageRefused } from "../../Storage.ts"
import type { ByteRange, ObjectHead, ReadError, StorageUnavailable } from "../../Storage.ts"
import * as Disk from "./Disk.ts"
import { type DiskCorrupt, type DiskFault, translate } from "./Fault.ts"
import * as FileName from "./FileName.ts"
import type { KnownHeads } from "./KnownHeads.ts"
import * as ObjectFile from "./ObjectFile.ts"
import type { OpenFile, OpenFiles } from "./OpenFiles.ts"
import * as Validation from "../Validation.ts"
import * as StorageMetrics from "../StorageMetrics.ts"

const mismatch = "the bytes do not match the stored CRC32C"

interface Open {
  readonly fd: number
  readonly head: ObjectHead
}

const headOf = Effect.fnUntraced(function* (fd: number, key: string, known: KnownHeads | undefined) {
  const file = yield* Disk.statOf(fd)
  const found = known?.get(key, file)
  if (found !== undefined) return found
  const head = yield* ObjectFile.head(fd, key, file.size)
  known?.add(head, file)
  return head
})

const openFile = (root: string, at: Validation.At) =>
  Effect.andThen(
    Validation.checkKey(at),
    Effect.suspend(() => Disk.open(`${root}/${FileName.fileOf(at.key)}`))
  )
const close = (fd: number) => Effect.ignore(Disk.close(fd))

const fail =
  (at: Validation.At) =>
  (error: DiskCorrupt | DiskFault): Effect.Effect<never, ReadError> => {
    if (error._tag === "DiskCorrupt") return damaged(at, error.reason)
    return Effect.fail(error.code === "ENOENT" ? new ObjectNotFound(at) : translate(at)(error))
  }

const damaged = (at: Validation.At, reason: string) =>
  Effect.andThen(Metric.update(StorageMetrics.damaged, 1), Effect.fail(new ObjectDamaged({ ...at, reason })))

/** Closes the descriptor with the scope. */
const open = (root: string, at: Validation.At, known?: KnownHeads): Effect.Effect<Open, ReadError, Scope.Scope> =>
  Effect.acquireRelease(openFile(root, at), close).pipe(
    Effect.flatMap((fd) => Effect.map(headOf(fd, at.key, known), (head) => ({ fd, head }))),
    Effect.catchTag(["DiskCorrupt", "DiskFault"], fail(at))
  )

export function head(
  root: string,
  at: Validation.At
): Effect.Effect<ObjectHead, ObjectNotFound | StorageUnavailable | StorageRefused> {
  return Effect.scoped(Effect.map(open(root, at), ({ head }) => head)).pipe(
    Effect.catchTag("ObjectDamaged", ({ reason }) => new StorageRefused({ ...at, reason }))
  )
}

interface Files {
  readonly root: string
  readonly pieceBytes: number
  readonly known: KnownHeads
  readonly openFiles: OpenFiles
}

/** Less than the whole object, whose bytes are verified. */
const isPart = ({ end, start }: ByteRange, size: number) =>
  Number.isSafeInteger(start) &&
  Number.isSafeInteger(end) &&
  start >= 0 &&
  start < end &&
  end <= size &&
  end - start < size

/** A range in one buffer: one read of a part of an object that is open, and everything else as `readAny`. */
export function read(files: Files, at: Validation.At, range: ByteRange): Effect.Effect<Uint8Array, ReadError> {
  const { openFiles } = files
  return Effect.callback((resume) => {
    const file = openFiles.take(at.key)
    const isQuick = file !== undefined && isPart(range, file.head.size)
    if (!isQuick) {
      if (file !== undefined) openFiles.giveBack(file)
      return resume(readAny(files, at, range))
    }
    const bytes = ReadBuffers.take(range.end - range.start)
    Disk.readOnce(file.fd, bytes, range.start, (isFilled) => {
      openFiles.giveBack(file)
      resume(isFilled ? Effect.succeed(bytes) : readAny(files, at, range))
    })
  })
}

function readAny(
  { known, openFiles, root }: Files,
  at: Validation.At,
  range: ByteRange
): Effect.Effect<Uint8Array, ReadError> {
  const opened = Effect.flatMap(openFile(root, at), (fd) =>
    headOf(fd, at.key, known).pipe(
      Effect.map((head) => openFiles.add(fd, head)),
      Effect.onError(() => Effect.sync(() => Disk.discard(fd)))
    )
  )
  const taken = Effect.suspend((): typeof opened => {
    const file = openFiles.take(at.key)
    return file === undefined ? opened : Effect.succeed(file)
  })
  const bytesOf = Effect.fnUntraced(function* ({ fd, head }: OpenFile) {
    const { end, start } = yield* Validation.clipRange(at, range, head.size)
    const bytes = yield* Disk.readInto(fd, ReadBuffers.take(end - start), start)
    const isDamaged =
      bytes.length !== end - start || (bytes.length === head.size && crc32c(bytes) !== head.crc32c && head.size > 0)
    if (!isDamaged) return bytes
    openFiles.forget(at.key)
    return yield* damaged(at, mismatch)
  })
  return Effect.catchTag(
    Effect.acquireUseRelease(taken, bytesOf, (file) => Effect.sync(() => openFiles.giveBack(file))),
    ["DiskCorrupt", "DiskFault"],
    fail(at)
  )
}

/** Pieces have `pieceBytes` bytes. Fails before the last piece of a whole object whose CRC32C is wrong. */
export function get(
  { known, pieceBytes, root }: Files,
  at: Validation.At,
  range: ByteRange | undefined
): Stream.Stream<Uint8Array, ReadError> {
  return Stream.unwrap(
    Effect.gen(function* () {
      const { fd, head } = yield* open(root, at, range === undefined ? undefined : known)
      const { end, start } = yield* Validation.clipRange(at, range, head.size)
      const isWhole = start === 0 && end === head.size
      let sum = 0
      const isDamaged = (bytes: Uint8Array, next: number) => {
        if (isWhole) sum = crc32c(bytes, sum)
        return bytes.length === 0 || (isWhole && next === end && sum !== head.crc32c)
      }
      const piece = Effect.fnUntraced(function* (from: number) {
        const buffer = ReadBuffers.take(Math.min(pieceBytes, end - from))
        const bytes = yield* Effect.mapError(Disk.readInto(fd, buffer, from), translate(at))
        const next = from + bytes.length
        if (isDamaged(bytes, next)) return yield* damaged(at, mismatch)
        return [[bytes], next === end ? Option.none<number>() : Option.some(next)] as const
      })
      return start === end ? Stream.empty : Stream.paginate(start, piece)
    })
  )
}

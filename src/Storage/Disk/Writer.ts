/**
 * Writes objects to disk, create-only: a temporary file is written and synced, then linked to its name. A kill leaves
 * either no object or a complete one, and a temporary file that is deleted later.
 */
import { crc32c } from "@node-rs/crc32"
import { DateTime, Effect, Stream } from "effect"
import { randomUUID } from "node:crypto"
import { join } from "node:path"
import { ObjectConflict, StorageUnavailable } from "../../Storage.ts"
import type { ObjectHead, StorageRefused } from "../../Storage.ts"
import * as Disk from "./Disk.ts"
import type { Directories } from "./Directories.ts"
import { translate } from "./Fault.ts"
import * as FileName from "./FileName.ts"
import * as ObjectFile from "./ObjectFile.ts"
import * as Reader from "./Reader.ts"
import * as Validation from "../Validation.ts"
import type { Source, StreamBody } from "../Source.ts"

/** Returns the CRC32C of the written bytes. */
const appendStream = Effect.fnUntraced(function* <E>(at: Validation.At, fd: number, body: StreamBody<E>) {
  const refusal = Validation.wrongSize(at, body.size)
  let written = 0
  let sum = 0
  yield* Stream.runForEachArray(body.stream, (parts) =>
    Effect.suspend((): Effect.Effect<void, StorageRefused | StorageUnavailable> => {
      for (const part of parts) {
        written += part.length
        sum = crc32c(part, sum)
      }
      return written > body.size ? refusal : Effect.mapError(Disk.append(fd, parts), translate(at))
    })
  )
  return written === body.size ? sum : yield* refusal
})

/** Writes and syncs the whole file. A body in memory is written in one call with its metadata. */
const write = Effect.fnUntraced(function* <E>(at: Validation.At, object: Source<E>, fd: number, generation: string) {
  const { body, contentType, key, metadata } = object
  const isBytes = body instanceof Uint8Array
  const head: ObjectHead = {
    key,
    size: isBytes ? body.length : body.size,
    crc32c: isBytes ? crc32c(body) : yield* appendStream(at, fd, body),
    generation,
    contentType,
    metadata,
    createdAt: DateTime.toDateUtc(yield* DateTime.now)
  }
  const tail = ObjectFile.tail(head)
  yield* Disk.append(fd, isBytes ? [body, tail] : [tail]).pipe(
    Effect.andThen(Disk.syncData(fd)),
    Effect.mapError(translate(at))
  )
  return head
})

export interface Place {
  readonly root: string
  /** The directory of temporary files, in the same file system. */
  readonly unfinished: string
  readonly directories: Directories
}

const publish = Effect.fnUntraced(function* (place: Place, at: Validation.At, from: string, head: ObjectHead) {
  const isNew = yield* place.directories.publish(from, join(place.root, FileName.fileOf(at.key))).pipe(
    Effect.as(true),
    Effect.catchTag("DiskFault", (fault) =>
      fault.code === "EEXIST" ? Effect.succeed(false) : Effect.fail(translate(at)(fault))
    )
  )
  if (isNew) return head
  const existing = yield* Reader.head(place.root, at).pipe(
    Effect.catchTag("ObjectNotFound", (cause) => Effect.fail(new StorageUnavailable({ ...at, cause })))
  )
  return Validation.isSamePut(existing, head) ? existing : yield* new ObjectConflict(at)
})

/** Durable when it returns. */
export const put = Effect.fnUntraced(function* <E>(place: Place, at: Validation.At, object: Source<E>) {
  yield* Validation.checkKey(at)
  yield* Validation.checkMetadata(at, object)
  const id = randomUUID()
  const path = join(place.unfinished, id)
  return yield* Effect.acquireUseRelease(
    Effect.mapError(Disk.create(path), translate(at)),
    (fd) => Effect.flatMap(write(at, object, fd, id), (head) => publish(place, at, path, head)),
    (fd) => Effect.andThen(Effect.ignore(Disk.close(fd)), Effect.ignore(Disk.unlink(path)))
  )
})

/** Durable when it returns. The caller prevents a concurrent removal, which this would undo. */
export const setMetadata = Effect.fnUntraced(function* (
  place: Place,
  at: Validation.At,
  metadata: Readonly<Record<string, string>>
) {
  const head = { ...(yield* Reader.head(place.root, at)), metadata }
  yield* Validation.checkMetadata(at, head)
  const file = join(place.root, FileName.fileOf(at.key))
  const path = join(place.unfinished, randomUUID())
  const rewrite = (fd: number) =>
    Disk.truncate(fd, head.size).pipe(
      Effect.andThen(Disk.append(fd, [ObjectFile.tail(head)])),
      Effect.andThen(Disk.syncData(fd))
    )
  yield* Disk.copy(file, path).pipe(
    Effect.andThen(Effect.acquireUseRelease(Disk.openAtEnd(path), rewrite, (fd) => Effect.ignore(Disk.close(fd)))),
    Effect.andThen(place.directories.replace(path, file)),
    Effect.onError(() => Effect.ignore(Disk.unlink(path))),
    Effect.mapError(translate(at))
  )
  return head
})

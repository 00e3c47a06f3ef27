/** Reads the heads and bytes of objects from disk. */
import { crc32c } from "@node-rs/crc32"
import { Effect, Metric, Option, Stream } from "effect"
import type { Scope } from "effect"
import { join } from "node:path"
import { ObjectDamaged, ObjectNotFound, StorageRefused } from "../../Storage.ts"
import type { ByteRange, ObjectHead, ReadError, StorageUnavailable } from "../../Storage.ts"
import * as Disk from "./Disk.ts"
import { translate } from "./Fault.ts"
import * as FileName from "./FileName.ts"
import * as ObjectFile from "./ObjectFile.ts"
import * as Validation from "../Validation.ts"
import * as StorageMetrics from "../StorageMetrics.ts"

interface Open {
  readonly fd: number
  readonly head: ObjectHead
}

/** Closes the descriptor with the scope. */
const open = (root: string, at: Validation.At): Effect.Effect<Open, ReadError, Scope.Scope> =>
  Validation.checkKey(at).pipe(
    Effect.andThen(
      Effect.acquireRelease(Disk.open(join(root, FileName.fileOf(at.key))), (fd) => Effect.ignore(Disk.close(fd)))
    ),
    Effect.flatMap((fd) => Effect.map(ObjectFile.head(fd, at.key), (head) => ({ fd, head }))),
    Effect.catchTags({
      DiskCorrupt: (corrupt) =>
        Effect.andThen(Metric.update(StorageMetrics.damaged, 1), new ObjectDamaged({ ...at, reason: corrupt.reason })),
      DiskFault: (fault) => Effect.fail(fault.code === "ENOENT" ? new ObjectNotFound(at) : translate(at)(fault))
    })
  )

export function head(
  root: string,
  at: Validation.At
): Effect.Effect<ObjectHead, ObjectNotFound | StorageUnavailable | StorageRefused> {
  return Effect.scoped(Effect.map(open(root, at), ({ head }) => head)).pipe(
    Effect.catchTag("ObjectDamaged", ({ reason }) => new StorageRefused({ ...at, reason }))
  )
}

/** Pieces have `chunk` bytes. Fails before the last piece of a whole object whose CRC32C is wrong. */
export function get(
  root: string,
  chunk: number,
  at: Validation.At,
  range: ByteRange | undefined
): Stream.Stream<Uint8Array, ReadError> {
  return Stream.unwrap(
    Effect.gen(function* () {
      const { fd, head } = yield* open(root, at)
      const { end, start } = yield* Validation.clipRange(at, range, head.size)
      const isWhole = start === 0 && end === head.size
      let sum = 0
      const isDamaged = (bytes: Uint8Array, next: number) => {
        if (isWhole) sum = crc32c(bytes, sum)
        return bytes.length === 0 || (isWhole && next === end && sum !== head.crc32c)
      }
      const piece = Effect.fnUntraced(function* (from: number) {
        const bytes = yield* Effect.mapError(Disk.read(fd, Math.min(chunk, end - from), from), translate(at))
        const next = from + bytes.length
        if (isDamaged(bytes, next)) {
          yield* Metric.update(StorageMetrics.damaged, 1)
          return yield* new ObjectDamaged({ ...at, reason: "the bytes do not match the stored CRC32C" })
        }
        return [[bytes], next === end ? Option.none<number>() : Option.some(next)] as const
      })
      return start === end ? Stream.empty : Stream.paginate(start, piece)
    })
  )
}

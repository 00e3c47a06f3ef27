/** A system call failed, or a file is not what was written: what that means to the caller of the store. */
import { Data } from "effect"
import { StorageRefused, StorageUnavailable } from "../../Storage.ts"
import type { At } from "../Validation.ts"

/** A system call failed; `code` is the errno's name. */
export class DiskFault extends Data.TaggedError("DiskFault")<{
  readonly code: string
  readonly cause: NodeJS.ErrnoException
}> {}

/** A file holds something else than was put. */
export class DiskCorrupt extends Data.TaggedError("DiskCorrupt")<{ readonly reason: string }> {}

/** What no repetition mends. Everything else (ENOSPC, EDQUOT, EIO, EMFILE, …) may pass. */
const permanent = new Set([
  "EACCES",
  "EPERM",
  "EROFS",
  "ENAMETOOLONG",
  "ENOTDIR",
  "EISDIR",
  "ELOOP",
  "EXDEV",
  "EINVAL",
  "EFBIG",
  "ENOTSUP",
  "EOPNOTSUPP"
])

export function translate(at: At) {
  return (fault: DiskFault | DiskCorrupt): StorageRefused | StorageUnavailable => {
    if (fault._tag === "DiskCorrupt") return new StorageRefused({ ...at, reason: fault.reason })
    return permanent.has(fault.code)
      ? new StorageRefused({ ...at, reason: fault.code })
      : new StorageUnavailable({ ...at, cause: fault.cause })
  }
}

/** Failures of the disk, and the errors that callers of the store get for them. */
import { Data, Schema } from "effect"
import { StorageRefused, StorageUnavailable } from "../../Storage.ts"
import type { At } from "../Validation.ts"

/** A failed system call. `code` is the name of the errno. */
export class DiskFault extends Data.TaggedError("DiskFault")<{
  readonly code: string
  readonly cause: NodeJS.ErrnoException
}> {}

/** A file whose content is damaged or foreign. */
export class DiskCorrupt extends Data.TaggedError("DiskCorrupt")<{ readonly reason: string }> {}

/** Codes that no retry can repair. All others (ENOSPC, EDQUOT, EIO, EMFILE, …) are transient. */
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

/** The data directory cannot be used. The message names the remedy. */
export class DiskUnusable extends Schema.TaggedError<DiskUnusable>()("DiskUnusable", {
  path: Schema.String,
  code: Schema.String
}) {
  override get message() {
    return `Can't write to ${this.path} (${this.code}). Give this user write permission, or set SPILLWAY_DATA_DIR to another directory.`
  }
}

/** Names the path of the fault, or else `path`. */
export function unusable(path: string) {
  return ({ cause, code }: DiskFault): DiskUnusable => new DiskUnusable({ path: cause.path ?? path, code })
}

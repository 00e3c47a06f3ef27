/** What a failed system call or a damaged file means to the caller of the store. */
import { StorageRefused, StorageUnavailable } from "../Storage.ts"
import type { DiskFault } from "./Disk.ts"
import type { Corrupt } from "./DiskObject.ts"
import type { At } from "./Rules.ts"

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

export const translate =
  (at: At) =>
  (fault: DiskFault | Corrupt): StorageRefused | StorageUnavailable => {
    if (fault._tag === "Corrupt") return new StorageRefused({ ...at, reason: fault.reason })
    return permanent.has(fault.code)
      ? new StorageRefused({ ...at, reason: fault.code })
      : new StorageUnavailable({ ...at, cause: fault.cause })
  }

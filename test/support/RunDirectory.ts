/** The directory of a test run, for the data directories of servers. It is deleted when the run ends. */
import { statfsSync } from "node:fs"

/** Names the directory. Scripts and benches have none. */
export const variable = "TEST_DIRECTORY"

/** Bytes: several times what the servers of a run use at once. */
const room = 4 * 2 ** 30

const hasRoom = (directory: string) => {
  try {
    const { bavail, bsize } = statfsSync(directory)
    return bavail * bsize >= room
  } catch {
    return false
  }
}

/**
 * Memory, where Linux has room. To create a file, ext4 searches all inodes that were deleted in the last minutes, and
 * a PostgreSQL has 600.
 */
export const parent = hasRoom("/dev/shm") ? "/dev/shm" : "/tmp"

/** Its path is short enough for PostgreSQL's socket. */
export const runDirectory = () => process.env[variable] ?? "/tmp"

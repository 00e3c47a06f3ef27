/** Runs a program on a small disk that it can fill. */
import { spawnSync } from "node:child_process"

/** Mounts a file system of 1 MiB that only the child sees, and that goes with it; as root, or in a namespace of users. */
const script = `
  dir=$1; shift
  unshare --user --map-root-user --mount true 2>/dev/null && how="--user --map-root-user --mount" || how="--mount"
  exec unshare $how sh -c 'mount -t tmpfs -o size=1m tmpfs "$0" && exec "$@"' "$dir" "$@"
`

/** Returns the output of `node program dir`, with `dir` on that file system. */
export const runOnSmallDisk = (program: string, dir: string): string => {
  const run = spawnSync("sh", ["-c", script, "sh", dir, process.execPath, program, dir], { encoding: "utf8" })
  if (run.status === 0) return run.stdout
  throw new Error(
    `This test needs a disk that it may fill: Linux with util-linux' unshare, as root or with user namespaces.\n${run.stderr}`
  )
}

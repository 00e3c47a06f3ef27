/** A disk without room: a typed failure that may pass, nothing half written, and all that was stored is there. */
import { assert, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import { join } from "node:path"
import { onTestFinished } from "vitest"

/** Mounts a file system of 1 MiB that only the child sees, and that goes with it; as root, or in a namespace of users. */
const script = `
  dir=$1; shift
  unshare --user --map-root-user --mount true 2>/dev/null && how="--user --map-root-user --mount" || how="--mount"
  exec unshare $how sh -c 'mount -t tmpfs -o size=1m tmpfs "$0" && exec "$@"' "$dir" "$@"
`

it("takes no harm from a full disk", () => {
  const dir = fs.mkdtempSync(join(os.tmpdir(), "spillway-full-"))
  onTestFinished(() => fs.rmSync(dir, { recursive: true, force: true }))
  const program = join(import.meta.dirname, "FullDisk.ts")
  const run = spawnSync("sh", ["-c", script, "sh", dir, process.execPath, program, dir], { encoding: "utf8" })
  assert.strictEqual(
    run.status,
    0,
    `This test needs a disk that it may fill: Linux with util-linux' unshare, as root or with user namespaces.\n${run.stderr}`
  )
  const { stored, ...rest } = JSON.parse(run.stdout)
  assert.isAbove(stored, 10)
  const full = "StorageUnavailable ENOSPC"
  assert.deepStrictEqual(rest, {
    full,
    streamed: full,
    composed: full,
    relabelled: full,
    left: 0,
    found: stored,
    whole: true,
    again: "success",
    leftAgain: 0
  })
  assert.deepStrictEqual(fs.readdirSync(dir), [])
})

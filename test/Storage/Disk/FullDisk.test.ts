/** `src/Storage/Disk` on a full disk: transient errors, no partial objects, and all stored objects intact. */
import { assert, it } from "@effect/vitest"
import * as fs from "node:fs"
import * as os from "node:os"
import { join } from "node:path"
import { onTestFinished } from "vitest"
import { runOnSmallDisk } from "../../support/SmallDisk.ts"

it("rejects puts on a full disk, keeps all objects, and accepts puts again when there is room", () => {
  const dir = fs.mkdtempSync(join(os.tmpdir(), "spillway-full-"))
  onTestFinished(() => fs.rmSync(dir, { recursive: true, force: true }))
  const { stored, ...rest } = JSON.parse(runOnSmallDisk(join(import.meta.dirname, "FullDisk.ts"), dir))
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

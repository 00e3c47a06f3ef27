/** `src/Storage/Disk` on a full disk: transient errors, no partial objects, and all stored objects intact. */
import { assert, it } from "@effect/vitest"
import * as fs from "node:fs"
import { join } from "node:path"
import { runOnSmallDisk } from "../../support/SmallDisk.ts"
import { testFolder } from "../../support/TestFolder.ts"

it("rejects puts on a full disk, keeps all objects, and accepts puts again when there is room", () => {
  const dir = testFolder()
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

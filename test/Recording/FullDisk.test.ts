/** `src/Recording` on a full disk: captures fail, nothing piles up, and the journal recovers when there is room. */
import { assert, it } from "@effect/vitest"
import * as Path from "node:path"
import { runOnSmallDisk } from "../support/SmallDisk.ts"
import { testFolder } from "../support/TestFolder.ts"

it("leaves no files behind while the disk is full, and accepts audio again when it has room", () => {
  const dir = testFolder()
  const { files, ...rest } = JSON.parse(runOnSmallDisk(Path.join(import.meta.dirname, "FullDisk.ts"), dir))
  // The segment that has audio, and the last one that was tried.
  assert.isAtMost(files, 3)
  assert.deepStrictEqual(rest, { before: true, meanwhile: false, failing: true, failingAfter: false, after: true })
})

/** A temporary directory that is deleted when the test ends. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { onTestFinished } from "vitest"

export const testFolder = (): string => {
  const folder = mkdtempSync(join(tmpdir(), "spillway-test-"))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

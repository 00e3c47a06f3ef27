/** Which failures of the disk are transient. */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { DiskFault, translate } from "../../../src/Storage/Disk/Fault.ts"

const at = { operation: "put", bucket: "disk", key: "a" }

it.effect.each(["ENOSPC", "EDQUOT", "EIO", "EMFILE", "ENFILE", "EAGAIN", "ENOENT", "UNKNOWN"])(
  "classifies %s as transient",
  (code) =>
    Effect.sync(() => {
      assert.strictEqual(translate(at)(new DiskFault({ code, cause: new Error(code) }))._tag, "StorageUnavailable")
    })
)

it.effect.each(["EACCES", "EPERM", "EROFS", "ENAMETOOLONG", "ENOTDIR", "EFBIG"])("classifies %s as permanent", (code) =>
  Effect.sync(() => {
    assert.strictEqual(translate(at)(new DiskFault({ code, cause: new Error(code) }))._tag, "StorageRefused")
  })
)

/** What a capture's backlog counts: `src/Recording/Capture/Backlog.ts`. */
import { assert, it } from "@effect/vitest"
import { Backlog } from "../../../src/Recording/Capture/Backlog.ts"

it("counts the bytes of its items, and of the rest that replaces the first one", () => {
  const backlog = new Backlog()
  backlog.push({ _tag: "Audio", start: 10, audio: new Uint8Array(100) })
  backlog.push({ _tag: "Switch", conversation: "talk" })
  backlog.push({ _tag: "Seal" })
  assert.strictEqual(backlog.bytes, 105)
  backlog.leave(11, new Uint8Array(40))
  assert.strictEqual(backlog.bytes, 45)
  assert.deepStrictEqual(backlog.first, { _tag: "Audio", start: 11, audio: new Uint8Array(40) })
  assert.isTrue(backlog.hasSeal)
  for (let left = backlog.length; left > 0; left--) backlog.shift()
  assert.strictEqual(backlog.bytes, 0)
  assert.isUndefined(backlog.first)
  backlog.shift()
  assert.strictEqual(backlog.bytes, 0)
})

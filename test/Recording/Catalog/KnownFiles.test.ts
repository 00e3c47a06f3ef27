/** Rows of audio files are known for a second, unless their conversation changes. */
import { assert, it } from "@effect/vitest"
import type { FileRow } from "../../../src/Recording/Catalog/IndexRows.ts"
import * as KnownFiles from "../../../src/Recording/Catalog/KnownFiles.ts"

const row = (revision: number): FileRow => ({
  start: 1,
  firstId: "a",
  id: "f",
  sampleRate: 8000,
  codec: "pcm16",
  endAt: 88_000,
  captured: 80_000,
  lost: 0,
  chunks: 10,
  lastStart: 9,
  lastId: "z",
  revision
})
const name = { uid: "u", conversation: "c" }
const other = { uid: "u", conversation: "d" }

const made = (bounds?: { readonly files: number; readonly changes: number }) => {
  const clock = { now: 5_000 }
  return { clock, known: KnownFiles.make(() => clock.now, bounds) }
}

it("knows a row for a second after its query began, and only for its user, conversation and file", () => {
  const { clock, known } = made()
  known.add(name, "f", row(1), 4_500)
  assert.deepStrictEqual(known.get(name, "f"), row(1))
  for (const [of, id] of [
    [other, "f"],
    [{ ...name, uid: "v" }, "f"],
    [name, "g"]
  ] as const)
    assert.isUndefined(known.get(of, id))
  clock.now = 5_500
  assert.isDefined(known.get(name, "f"))
  clock.now = 5_501
  assert.isUndefined(known.get(name, "f"))
})

it("forgets all rows of a conversation that changes, those of running queries included", () => {
  const { clock, known } = made()
  known.add(name, "f", row(1), 4_999)
  known.add(name, "g", row(1), 4_999)
  known.add(other, "f", row(1), 4_999)
  known.forget(name)
  known.add(name, "f", row(1), 5_000)
  assert.deepStrictEqual([known.get(name, "f"), known.get(name, "g")], [undefined, undefined])
  assert.isDefined(known.get(other, "f"))
  clock.now = 5_010
  known.add(name, "f", row(2), 5_001)
  assert.deepStrictEqual(known.get(name, "f"), row(2))
})

it("keeps the row of the query that began last", () => {
  const { known } = made()
  known.add(name, "f", row(2), 4_990)
  known.add(name, "f", row(1), 4_980)
  assert.strictEqual(known.get(name, "f")?.revision, 2)
})

it("keeps a bounded number of rows, and of changes: beyond these all rows are read again", () => {
  const { clock, known } = made({ files: 2, changes: 2 })
  for (const id of ["a", "b", "c"]) known.add(name, id, row(1), 4_999)
  assert.deepStrictEqual(
    ["a", "b", "c"].map((id) => known.get(name, id)?.revision),
    [undefined, 1, 1]
  )
  for (const conversation of ["x", "y", "z"]) known.forget({ uid: "u", conversation })
  assert.isUndefined(known.get(name, "c"))
  for (const conversation of ["x", "y"]) {
    known.add({ uid: "u", conversation }, "f", row(1), 5_000)
    assert.isUndefined(known.get({ uid: "u", conversation }, "f"))
  }
  clock.now = 5_002
  known.add(name, "c", row(1), 5_001)
  assert.isDefined(known.get(name, "c"))
})

/** Bounded maps. */
import { assert, it } from "@effect/vitest"
import { BoundedMap } from "../src/BoundedMap.ts"

it("evicts the entry that was set longest ago, and no entry for one that it has", () => {
  const map = new BoundedMap<number>(2)
  map.set("a", 1)
  map.set("b", 2)
  map.set("a", 3)
  assert.deepStrictEqual([map.size, map.get("a"), map.get("b")], [2, 3, 2])
  map.set("c", 4)
  assert.deepStrictEqual([map.size, map.get("a"), map.get("b"), map.get("c")], [2, 3, undefined, 4])
  map.delete("a")
  assert.deepStrictEqual([map.size, map.get("a")], [1, undefined])
})

/** The cache of signed URLs. */
import { assert, it } from "@effect/vitest"
import * as ObjectUrls from "../../../src/Storage/Disk/ObjectUrls.ts"

const url = (expiresAt: number) => ({ url: String(expiresAt), expiresAt: new Date(expiresAt) })

it("returns a URL again only while at least half of its lifetime is left", () => {
  const cache = ObjectUrls.makeCache(10)
  const first = cache.add("a", 1_000, url(11_000))
  assert.strictEqual(cache.get("a", 1_000), first)
  assert.strictEqual(cache.get("a", 6_000), first)
  assert.isUndefined(cache.get("a", 6_001))
  const second = cache.add("a", 6_001, url(16_000))
  assert.strictEqual(cache.get("a", 7_000), second)
  assert.isUndefined(cache.get("b", 1_000))
})

it("evicts the oldest URL beyond its capacity", () => {
  const cache = ObjectUrls.makeCache(3)
  for (const name of ["a", "b", "c", "a", "d"]) cache.add(name, 0, url(1_000))
  assert.strictEqual(cache.size(), 3)
  assert.deepStrictEqual(
    ["a", "b", "c", "d"].map((name) => cache.get(name, 0) !== undefined),
    [true, false, true, true]
  )
})

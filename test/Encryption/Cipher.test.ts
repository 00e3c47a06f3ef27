/** The cache of derived keys is bounded and returns the right keys. */
import { assert, it } from "@effect/vitest"
import * as Cipher from "../../src/Encryption/Cipher.ts"

const secrets = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)]
const shown = (keys: ReadonlyArray<Cipher.Key>) => keys.map(({ key }) => key.export().toString("hex"))
const derived = (uid: string) => shown(secrets.map((secret) => Cipher.deriveKey(secret, uid)))

it("caches the keys of a bounded number of users, and evicts the least recently used", () => {
  const keys = Cipher.makeKeyCache(secrets, 3)
  const [a, b, c] = [keys.of("a"), keys.of("b"), keys.of("c")]
  assert.strictEqual(keys.of("a"), a)
  keys.of("d")
  assert.strictEqual(keys.size(), 3)
  assert.strictEqual(keys.of("a"), a)
  assert.strictEqual(keys.of("c"), c)
  assert.notStrictEqual(keys.of("b"), b)
  assert.strictEqual(keys.size(), 3)
})

it("returns the keys of that user, in the order of the secrets", () => {
  const keys = Cipher.makeKeyCache(secrets, 2)
  for (const uid of ["a", "b", "c", "a", "b"]) assert.deepStrictEqual(shown(keys.of(uid)), derived(uid))
})

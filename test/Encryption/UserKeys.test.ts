/** Derived keys are kept, in a bounded number, and are always the right ones. */
import { assert, it } from "@effect/vitest"
import * as Cipher from "../../src/Encryption/Cipher.ts"
import * as UserKeys from "../../src/Encryption/UserKeys.ts"

const secrets = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)]
const shown = (keys: ReadonlyArray<Cipher.Key>) => keys.map(({ key }) => key.export().toString("hex"))
const derived = (uid: string) => shown(secrets.map((secret) => Cipher.deriveKey(secret, uid)))

it("keeps no more users than it may, and forgets the one that was not asked for the longest", () => {
  const keys = UserKeys.make(secrets, 3)
  const [a, b, c] = [keys.of("a"), keys.of("b"), keys.of("c")]
  assert.strictEqual(keys.of("a"), a)
  keys.of("d")
  assert.strictEqual(keys.size(), 3)
  assert.strictEqual(keys.of("a"), a)
  assert.strictEqual(keys.of("c"), c)
  assert.notStrictEqual(keys.of("b"), b)
  assert.strictEqual(keys.size(), 3)
})

it("answers with the keys of that user and these secrets, in their order", () => {
  const keys = UserKeys.make(secrets, 2)
  for (const uid of ["a", "b", "c", "a", "b"]) assert.deepStrictEqual(shown(keys.of(uid)), derived(uid))
})

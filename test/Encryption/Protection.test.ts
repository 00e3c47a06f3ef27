/** Encryption at rest: a format that other implementations share, and that rejects every change. */
import { assert, it } from "@effect/vitest"
import { ConfigProvider, Effect, Layer, Schema } from "effect"
import { webcrypto } from "node:crypto"
import { Protection, EncryptedRecords } from "../../src/Encryption.ts"
import { ProtectionConfig } from "../../src/Encryption/ProtectionConfig.ts"

const secret = Buffer.from(Uint8Array.from({ length: 32 }, (_, i) => i)).toString("base64")
const other = Buffer.alloc(32, 7).toString("base64")
const kib64 = 65_536

const protection = (env: Record<string, string>) =>
  Protection.layer.pipe(
    Layer.provide(Layer.fresh(ProtectionConfig.layer)),
    Layer.provide(ConfigProvider.layer(ConfigProvider.fromUnknown(env))),
    Layer.fresh
  )

const enhanced = (secrets: string) => protection({ SPILLWAY_PROTECTION: "enhanced", SPILLWAY_MASTER_SECRETS: secrets })

const noise = (size: number): Uint8Array => Uint8Array.from({ length: size }, (_, i) => (i * 2_654_435_761) >>> 13)

/** Made with Python's `cryptography` 48; its key agrees with `openssl kdf … HKDF`. Records of 14 and 6 bytes, user `user-1`. */
const vector = {
  key: "8a22e97c56407aed82bc80c92e41532eb8275da72bf2a6b5030e761c781f9528",
  encrypted:
    "0000002a000102030405060708090a0b3fc7d81625e1f10b47c4dc12457f67f85b4bed7bee24e23ec8807beecef1" +
    "00000022f0f1f2f3f4f5f6f7f8f9fafbda42db2658b77f13e147d5e727b35ef0ca05bf2037be",
  plain: Buffer.from("first record\0\u0001second")
}

/** Decrypts records with the key of the vector and another implementation of AES-GCM. */
const decryptedElsewhere = Effect.fnUntraced(function* (encrypted: Uint8Array) {
  const bytes = Buffer.from(encrypted)
  const key = yield* Effect.promise(() =>
    webcrypto.subtle.importKey("raw", Buffer.from(vector.key, "hex"), "AES-GCM", false, ["decrypt"])
  )
  const lengths: Array<number> = []
  const nonces = new Set<string>()
  const parts: Array<Uint8Array> = []
  for (let at = 0; at < bytes.length;) {
    const length = bytes.readUInt32BE(at)
    const iv = bytes.subarray(at + 4, at + 16)
    const data = bytes.subarray(at + 16, at + 4 + length)
    lengths.push(length)
    nonces.add(iv.toString("hex"))
    parts.push(
      new Uint8Array(yield* Effect.promise(() => webcrypto.subtle.decrypt({ name: "AES-GCM", iv }, key, data)))
    )
    at += 4 + length
  }
  return { lengths, nonces, plain: Buffer.concat(parts) }
})

it.effect("decrypts what another implementation encrypted", () =>
  Effect.gen(function* () {
    const decrypted = yield* (yield* Protection).decrypt("user-1", Buffer.from(vector.encrypted, "hex"))
    assert.deepStrictEqual(Buffer.from(decrypted), vector.plain)
  }).pipe(Effect.provide(protection({ SPILLWAY_MASTER_SECRETS: secret })))
)

it.effect("encrypts records of 64 KiB that another implementation decrypts, each with a unique nonce", () =>
  Effect.gen(function* () {
    const audio = noise(2 * kib64 + 10)
    const { encrypt } = yield* Protection
    const encrypted = [yield* encrypt("user-1", audio), yield* encrypt("user-1", audio)]
    const [first, second] = yield* Effect.forEach(encrypted, decryptedElsewhere)
    assert.deepStrictEqual(first?.lengths, [kib64 + 28, kib64 + 28, 38])
    assert.deepStrictEqual(first?.plain, Buffer.from(audio))
    assert.strictEqual(new Set([...(first?.nonces ?? []), ...(second?.nonces ?? [])]).size, 6)
    assert.strictEqual(encrypted[0]?.length, EncryptedRecords.encryptedSize(audio.length))
  }).pipe(Effect.provide(enhanced(secret)))
)

it.effect("decrypts with older secrets, and encrypts with the first", () =>
  Effect.gen(function* () {
    const old = yield* Protection.use(({ encrypt }) => encrypt("u", noise(100_000))).pipe(
      Effect.provide(enhanced(other))
    )
    const both = yield* Effect.gen(function* () {
      const { decrypt, encrypt } = yield* Protection
      assert.deepStrictEqual(Uint8Array.from(yield* decrypt("u", old)), noise(100_000))
      return yield* encrypt("u", noise(5))
    }).pipe(Effect.provide(enhanced(`${secret}, ${other}`)))
    const decrypted = yield* Protection.use(({ decrypt }) => decrypt("u", both)).pipe(
      Effect.provide(protection({ SPILLWAY_MASTER_SECRETS: secret }))
    )
    assert.deepStrictEqual(Uint8Array.from(decrypted), noise(5))
  })
)

it.effect("decrypts nothing of another user, with another secret, or without one", () =>
  Effect.gen(function* () {
    const encrypted = yield* Protection.use(({ encrypt }) => encrypt("u", noise(10))).pipe(
      Effect.provide(enhanced(secret))
    )
    const rejection = (uid: string, env: Record<string, string>, bytes = encrypted) =>
      Protection.use(({ decrypt }) => Effect.flip(decrypt(uid, bytes))).pipe(Effect.provide(protection(env)))
    assert.strictEqual((yield* rejection("v", { SPILLWAY_MASTER_SECRETS: secret }))._tag, "DecryptionFailed")
    assert.strictEqual((yield* rejection("u", { SPILLWAY_MASTER_SECRETS: other }))._tag, "DecryptionFailed")
    assert.include((yield* rejection("u", {})).message, "SPILLWAY_MASTER_SECRETS is not set")
    const short = yield* rejection("u", {}, encrypted.subarray(0, 3))
    assert.strictEqual(short.message, "it is shorter than any encrypted audio, 33 bytes")
  })
)

it.effect.prop(
  "rejects data with a flipped bit or a cut inside a record",
  { size: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 200_000 })), where: Schema.Finite },
  Effect.fnUntraced(
    function* ({ size, where }) {
      const { decrypt, encrypt } = yield* Protection
      const encrypted = yield* encrypt("u", noise(size))
      const at = Math.trunc(Math.abs(where) % encrypted.length)
      const changed = Uint8Array.from(encrypted)
      changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8))
      assert.strictEqual((yield* Effect.flip(decrypt("u", changed)))._tag, "DecryptionFailed")
      const isBetweenRecords = at % (kib64 + 32) === 0
      if (!isBetweenRecords)
        assert.strictEqual((yield* Effect.flip(decrypt("u", encrypted.subarray(0, at))))._tag, "DecryptionFailed")
      assert.deepStrictEqual(Uint8Array.from(yield* decrypt("u", encrypted)), noise(size))
    },
    Effect.provide(enhanced(secret))
  ),
  { arbitrary: { runs: 40 } }
)

it.effect("rejects records that are duplicated, reordered or added", () =>
  Effect.gen(function* () {
    const { decrypt, encrypt } = yield* Protection
    const encrypted = Buffer.from(yield* encrypt("u", noise(3 * kib64)))
    const [first, second, third] = [0, 1, 2].map((i) => encrypted.subarray(i * (kib64 + 32), (i + 1) * (kib64 + 32)))
    for (const records of [
      [first, first, third],
      [first, second, first],
      [first, second, third, third]
    ]) {
      const bytes = Buffer.concat(records.flatMap((record) => record ?? []))
      assert.strictEqual((yield* Effect.flip(decrypt("u", bytes)))._tag, "DecryptionFailed")
    }
  }).pipe(Effect.provide(enhanced(secret)))
)

it.effect("rejects a record that claims to be longer than the maximum", () =>
  Effect.gen(function* () {
    const { decrypt } = yield* Protection
    for (const head of ["ffffffff", "00000000", "0000001b", "80000000", "00"]) {
      const bytes = Buffer.concat([Buffer.from(head, "hex"), Buffer.alloc(40)])
      assert.strictEqual((yield* Effect.flip(decrypt("u", bytes)))._tag, "DecryptionFailed")
    }
  }).pipe(Effect.provide(enhanced(secret)))
)

it.effect.prop(
  "decrypts any range from the records of its window alone",
  {
    size: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 5 * kib64 })),
    from: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 5 * kib64 })),
    length: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 3 * kib64 }))
  },
  Effect.fnUntraced(
    function* ({ from, length, size }) {
      const start = from % size
      const end = Math.min(start + length, size)
      const { decrypt, encrypt } = yield* Protection
      const audio = noise(size)
      const encrypted = yield* encrypt("u", audio)
      const window = EncryptedRecords.windowOf(start, end, size)
      const decrypted = yield* decrypt("u", encrypted.subarray(window.start, window.end))
      assert.deepStrictEqual(
        Uint8Array.from(decrypted.subarray(window.skip, window.skip + end - start)),
        audio.subarray(start, end)
      )
      assert.isBelow(window.end - window.start, end - start + 2 * (kib64 + 32) + 64)
    },
    Effect.provide(enhanced(secret))
  ),
  { arbitrary: { runs: 40 } }
)

it.effect("does not start with enhanced protection and no secret, and says so", () =>
  Effect.gen(function* () {
    const error = yield* Effect.flip(Effect.scoped(Layer.build(protection({ SPILLWAY_PROTECTION: "enhanced" }))))
    assert.include(error.message, "SPILLWAY_MASTER_SECRETS: expected 1 to 16 secrets")
    assert.include(error.message, "because SPILLWAY_PROTECTION is enhanced")
  })
)

it.effect.each([
  [Buffer.alloc(31).toString("base64"), "entry 1 that has 31 bytes"],
  ["not base64!", "entry 1 that is not base64"],
  [`${secret},AAAAAAA=`, "entry 2 that has 5 bytes"],
  [`${secret},`, "entry 2 that is empty"],
  [Array.from({ length: 17 }, () => secret).join(","), "17 entries"]
] as const)("rejects the secrets %j, and says what is wrong without showing them", ([secrets, mistake]) =>
  Effect.gen(function* () {
    const error = yield* Effect.flip(Effect.scoped(Layer.build(enhanced(secrets))))
    assert.include(error.message, "SPILLWAY_MASTER_SECRETS: expected 1 to 16 secrets")
    assert.include(error.message, `found ${mistake}`)
    for (const entry of secrets.split(",")) if (entry !== "") assert.notInclude(error.message, entry)
  })
)

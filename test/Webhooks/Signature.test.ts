/** `src/Webhooks/Signature.ts` against the vector of Standard Webhooks, and against two libraries that verify. */
import { createPublicKey, verify } from "node:crypto"
import { assert, it } from "@effect/vitest"
import { Redacted } from "effect"
import * as StandardWebhooks from "standardwebhooks"
import * as Svix from "svix"
import * as Signature from "../../src/Webhooks/Signature.ts"

const body = Buffer.from('{"test": 2432232314}')

const messageNow = { id: "msg_2", timestamp: Math.floor(Date.now() / 1000), body: Buffer.from('{"text":"Grüße 👋"}') }

it("signs as the vector of the specification says", () => {
  const secret = Redacted.make("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
  const message = { id: "msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp: 1_614_265_330, body }
  assert.deepStrictEqual(Signature.headersOf(message, [secret]), {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
  })
})

it("is verified by other libraries with either of two live secrets, and with no other one", () => {
  const [older, newer, other] = [1, 2, 3].map(() => Signature.makeSecret("v1"))
  if (older === undefined || newer === undefined || other === undefined) return assert.fail()
  const headers = Signature.headersOf(messageNow, [newer, older])
  const expected = { text: "Grüße 👋" }
  for (const secret of [older, newer]) {
    const text = messageNow.body.toString()
    assert.deepStrictEqual(new StandardWebhooks.Webhook(Redacted.value(secret)).verify(text, headers), expected)
    assert.deepStrictEqual(new Svix.Webhook(Redacted.value(secret)).verify(text, headers), expected)
  }
  assert.throws(() => new StandardWebhooks.Webhook(Redacted.value(other)).verify(messageNow.body.toString(), headers))
  assert.throws(() => new Svix.Webhook(Redacted.value(newer)).verify('{"text":"other"}', headers))
})

it("signs with Ed25519, which the public key verifies", () => {
  const secret = Signature.makeSecret("v1a")
  const { "webhook-signature": signature = "" } = Signature.headersOf(messageNow, [secret])
  assert.match(signature, /^v1a,/)
  const key = Signature.publicKeyOf(secret) ?? ""
  assert.match(key, /^whpk_[A-Za-z0-9+/]{43}=$/)
  const x = Buffer.from(key.slice(5), "base64").toString("base64url")
  const publicKey = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" })
  const content = Buffer.concat([Buffer.from(`${messageNow.id}.${messageNow.timestamp}.`), messageNow.body])
  assert.isTrue(verify(null, content, publicKey, Buffer.from(signature.slice(4), "base64")))
  assert.isFalse(verify(null, Buffer.concat([content, body]), publicKey, Buffer.from(signature.slice(4), "base64")))
})

it("makes secrets of 32 random bytes, which differ", () => {
  const secrets = Array.from({ length: 100 }, () => Redacted.value(Signature.makeSecret("v1")))
  assert.strictEqual(new Set(secrets).size, 100)
  for (const secret of secrets) assert.match(secret, /^whsec_[A-Za-z0-9+/]{43}=$/)
  assert.isUndefined(Signature.publicKeyOf(Signature.makeSecret("v1")))
})

/** Tokens of signed URLs. */
import { assert, it, layer } from "@effect/vitest"
import { Duration, Effect, Layer, Option, Schema } from "effect"
import { TestClock } from "effect/testing"
import { AudioTokens, type Claim } from "../../../src/Playback/Urls/AudioTokens.ts"
import { UrlSecret } from "../../../src/Playback/Urls/UrlSecret.ts"

const tokens = (secret: string) =>
  AudioTokens.layer.pipe(Layer.provide(Layer.succeed(UrlSecret, { read: Effect.succeed(Buffer.from(secret)) })))

const claim: Claim = {
  uid: "ada",
  conversation: "standup",
  file: "0c5f6c0e-2f7a-8d3b-9c1d-5a4e3f2b1a09",
  format: "wav"
}

const characters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ "
const Change = Schema.Struct({
  at: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 10_000 })),
  to: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: characters.length - 1 })),
  how: Schema.Literals(["replaced", "inserted", "removed"])
})

layer(tokens("one"))("a token", (it) => {
  it.effect("says what was signed, for an hour", () =>
    Effect.gen(function* () {
      const { sign, verify } = yield* AudioTokens
      const token = yield* sign(claim)
      assert.match(token, /^[\w-]+\.[\w-]{43}$/)
      assert.deepStrictEqual(yield* verify(token), Option.some(claim))
      yield* TestClock.adjust(Duration.millis(3_599_999))
      assert.deepStrictEqual(yield* verify(token), Option.some(claim))
      yield* TestClock.adjust("1 millis")
      assert.isTrue(Option.isNone(yield* verify(token)))
    })
  )

  it.effect("is known at once as soon as the secret is, on a connection also after another one, and for an hour", () =>
    Effect.gen(function* () {
      const { sign, verify, verifyNow } = yield* AudioTokens
      const [token, other] = [yield* sign(claim), yield* sign({ ...claim, uid: "grace" })]
      const connection = {}
      for (const [text, uid] of [
        [token, "ada"],
        [token, "ada"],
        [other, "grace"],
        [`${token}=`, undefined],
        [token, "ada"]
      ] as const) {
        const found = Option.getOrUndefined(verifyNow(text, connection))
        assert.strictEqual(found?.uid, uid)
        assert.deepStrictEqual(verifyNow(text, {}), yield* verify(text))
      }
      yield* TestClock.adjust(Duration.hours(1))
      assert.isTrue(Option.isNone(verifyNow(token, connection)))
    })
  )

  it.effect.prop(
    "is not valid with any character changed",
    { change: Change },
    Effect.fnUntraced(function* ({ change: { at, how, to } }) {
      const { sign, verify } = yield* AudioTokens
      const token = yield* sign(claim)
      const place = at % token.length
      const middle = how === "removed" ? "" : (characters[to] ?? "") + (how === "inserted" ? (token[place] ?? "") : "")
      const changed = token.slice(0, place) + middle + token.slice(place + 1)
      if (changed !== token) assert.isTrue(Option.isNone(yield* verify(changed)), changed)
    }),
    { arbitrary: { runs: 500 } }
  )

  it.effect("is not valid in part, twice, or if another secret signed it", () =>
    Effect.gen(function* () {
      const { sign, verify } = yield* AudioTokens
      const token = yield* sign(claim)
      const [payload = "", signature = ""] = token.split(".")
      const other = yield* Effect.provide(
        Effect.flatMap(AudioTokens, (others) => others.sign(claim)),
        Layer.fresh(tokens("other"))
      )
      const later = Buffer.from(payload, "base64url").toString().replace(/\d+$/, "99999999999")
      for (const text of [
        "",
        ".",
        payload,
        `${payload}.`,
        `.${signature}`,
        `${token}.${signature}`,
        `${token}=`,
        `${Buffer.from(later).toString("base64url")}.${signature}`,
        other
      ]) {
        assert.isTrue(Option.isNone(yield* verify(text)), text)
      }
    })
  )
})

it.effect("is short enough for a path with the longest ids", () =>
  Effect.gen(function* () {
    const { sign } = yield* AudioTokens
    const long = "x".repeat(128)
    const token = yield* sign({ ...claim, uid: long, conversation: long })
    assert.isAtMost(token.length, 512)
  }).pipe(Effect.provide(tokens("one")))
)

/** What room is made of: nobody's audio but what was given up, and that whole. */
import { assert, it } from "@effect/vitest"
import { Arbitrary, Effect, Layer, References, Schema } from "effect"
import { Journal } from "../../../src/Recording/Journal/Journal.ts"
import { type JournalChunk, uuidText } from "../../../src/Recording/Journal/JournalChunk.ts"
import { ended, journalIn, ramp, temporaryDirectory, TestNode } from "../support/TestNode.ts"

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const Step = Schema.Union([
  Schema.Struct({ _tag: Schema.tag("Append"), user: between(0, 3), samples: between(1, 6000) }),
  Schema.Struct({ _tag: Schema.tag("Gap"), user: between(0, 3) }),
  Schema.Struct({ _tag: Schema.tag("Store"), chunk: between(0, 100) }),
  Schema.Struct({ _tag: Schema.tag("Commit") })
])
const Steps = Arbitrary.array(Arbitrary.schema(Step), { minLength: 40, maxLength: 120 })

const start = (user: number) => 1_000_000 * (user + 1)
/** Every sample of every user is another one. */
const audioOf = (chunk: JournalChunk) => {
  const user = Number(chunk.uid)
  return Buffer.from(ramp(chunk.durable / 2, user * 977 + Math.round((chunk.start - start(user)) * 8000)))
}

const assertWhole = (journal: Journal["Service"], chunks: ReadonlyArray<JournalChunk>) =>
  Effect.forEach(
    chunks,
    Effect.fnUntraced(function* (chunk) {
      const expected = audioOf(chunk)
      assert.isTrue(expected.equals(yield* journal.read(chunk, 0, expected.length)))
    }),
    { concurrency: "unbounded", discard: true }
  )

it.effect.prop(
  "keeps all audio that is not evicted exactly once, and recovers it after a kill",
  { steps: Steps },
  Effect.fnUntraced(
    function* ({ steps }) {
      const dataDir = yield* temporaryDirectory
      const bounds = { segmentBytes: 6000, journalBytes: 30_000, commitBytes: 20_000, captureBuffer: 16_000 }
      const layer = journalIn(dataDir, bounds)
      const gone = new Set<string>()
      const kept = yield* Effect.gen(function* () {
        const journal = yield* Journal
        const node = new TestNode(journal, { bufferBytes: bounds.captureBuffer })
        const release = (chunk: JournalChunk) => {
          gone.add(uuidText(chunk.id))
          return journal.release(chunk)
        }
        journal.whenFull((chunks) => Effect.as(Effect.forEach(chunks, release, { discard: true }), true))
        const users = [0, 1, 2, 3].map((user) => {
          const { capture } = node.capture({ uid: String(user) })
          capture.switchTo(String(user))
          return { capture, samples: 0 }
        })
        for (const step of steps) {
          if (step._tag === "Commit") yield* journal.commit
          else if (step._tag === "Store") {
            const chunk = node.sealed[step.chunk]
            if (chunk !== undefined && chunk.state !== "released") yield* release(chunk)
          } else {
            const user = users[step.user]
            if (user === undefined) continue
            if (step._tag === "Gap") user.samples += 800
            else {
              user.capture.append(
                start(step.user) + user.samples / 8000,
                ramp(step.samples, step.user * 977 + user.samples)
              )
              user.samples += step.samples
            }
          }
        }
        // Nothing is written while it is compared.
        yield* Effect.forEach(users, ({ capture }) => ended(capture, journal), { discard: true })
        const chunks = [...node.conversations.values()].flatMap((conversation) => [...conversation.chunks])
        const kept = chunks.filter((chunk) => !gone.has(uuidText(chunk.id)) && chunk.durable > 0)
        yield* assertWhole(journal, kept)
        return new Map(kept.map((chunk) => [uuidText(chunk.id), chunk.durable]))
      }).pipe(Effect.provide(layer))
      yield* Effect.gen(function* () {
        const journal = yield* Journal
        const found = journal.recovered.filter((chunk) => !gone.has(uuidText(chunk.origin.id)))
        assert.deepStrictEqual(new Map(found.map((chunk) => [uuidText(chunk.id), chunk.durable])), kept)
        yield* assertWhole(journal, found)
      }).pipe(Effect.provide(Layer.fresh(layer)))
    },
    Effect.scoped,
    Effect.provideService(References.MinimumLogLevel, "None")
  ),
  { arbitrary: { runs: 60 } }
)

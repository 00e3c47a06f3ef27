/** The delivery of live transcripts to a sink, on a test clock. */
import { assert, it } from "@effect/vitest"
import { Effect, Exit, Layer, Scope } from "effect"
import { TestClock } from "effect/testing"
import { LiveSinks } from "../../../src/Pusher/Live/Sinks.ts"
import { MessageHandlers, type Sender } from "../../../src/Pusher/MessageHandlers.ts"
import * as Protocol from "../../../src/Pusher/Protocol.ts"

const world = LiveSinks.layer.pipe(Layer.provideMerge(MessageHandlers.layer), Layer.fresh)

const sender = (uid: string): Sender => ({ uid, conversation: () => "c", send: () => {}, dropped: 0 })

const started = Effect.gen(function* () {
  const [handlers, sinks] = [yield* MessageHandlers, yield* LiveSinks]
  const scope = yield* Scope.make()
  const ada = sender("ada")
  const say = (id: string, from = ada) =>
    handlers.get(Protocol.opcodes.transcript)?.(from, Buffer.from(JSON.stringify({ segments: [{ id, start: 0 }] })))
  const received: Array<string> = []
  let answer: (id: string) => Effect.Effect<void, string> = () => Effect.void
  const add = sinks
    .add({
      name: "test",
      transcripts: (messages) =>
        Effect.gen(function* () {
          const ids = messages.flatMap(({ segments }) => segments.map(({ id }) => id))
          for (const id of ids) yield* answer(id)
          received.push(...ids)
        })
    })
    .pipe(Scope.provide(scope))
  return { ada, add, received, say, scope, on: (next: typeof answer) => void (answer = next) }
})

it.effect("buffers nothing without a sink, and delivers each second to one", () =>
  Effect.gen(function* () {
    const { add, received, say } = yield* started
    assert.isTrue(say("before"))
    yield* add
    yield* TestClock.adjust("100 millis")
    assert.isTrue(say("a"))
    assert.isTrue(say("b"))
    yield* TestClock.adjust("800 millis")
    assert.deepStrictEqual(received, [])
    yield* TestClock.adjust("1 second")
    assert.deepStrictEqual(received, ["a", "b"])
  }).pipe(Effect.provide(world))
)

it.effect("delivers again what failed, before what is newer, and counts what slides out meanwhile", () =>
  Effect.gen(function* () {
    const { ada, add, on, received, say } = yield* started
    yield* add
    on(() => Effect.fail("down"))
    say("first")
    yield* TestClock.adjust("3 seconds")
    for (let n = 0; n < 53; n++) say(`later-${n}`)
    yield* TestClock.adjust("3 seconds")
    assert.deepStrictEqual([received, ada.dropped], [[], 3])
    on(() => Effect.void)
    yield* TestClock.adjust("3 seconds")
    assert.deepStrictEqual(received, ["first", ...Array.from({ length: 50 }, (_, n) => `later-${n + 3}`)])
  }).pipe(Effect.provide(world))
)

it.effect("drops only the message that the sink dies of", () =>
  Effect.gen(function* () {
    const { ada, add, on, received, say } = yield* started
    const eve = sender("eve")
    yield* add
    yield* TestClock.adjust("10 millis")
    on((id) => (id === "poison" ? Effect.die(new Error("poison")) : Effect.void))
    say("a")
    say("poison")
    say("b", eve)
    yield* TestClock.adjust("3 seconds")
    assert.deepStrictEqual([[...received].sort(), ada.dropped, eve.dropped], [["a", "b"], 1, 0])
  }).pipe(Effect.provide(world))
)

it.effect("decodes a bounded number of bytes of a capture in a second", () =>
  Effect.gen(function* () {
    const { add, say } = yield* started
    const eve = sender("eve")
    yield* add
    const large = "x".repeat(1024 * 1024 - 100)
    assert.deepStrictEqual(
      Array.from({ length: 6 }, () => say(large, eve)),
      [true, true, true, true, false, false]
    )
    assert.isTrue(say(large))
    yield* TestClock.adjust("1 second")
    assert.isFalse(say(large, eve))
    yield* TestClock.adjust("2 seconds")
    assert.deepStrictEqual([say(large, eve), say(large, eve)], [true, false])
  }).pipe(Effect.provide(world))
)

it.effect("delivers what is left when the scope of the sink closes", () =>
  Effect.gen(function* () {
    const { add, received, say, scope } = yield* started
    yield* add
    yield* TestClock.adjust("10 millis")
    say("last")
    yield* Scope.close(scope, Exit.void)
    assert.deepStrictEqual(received, ["last"])
  }).pipe(Effect.provide(world))
)

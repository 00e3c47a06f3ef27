/** The steps of the start. */
import { assert, it } from "@effect/vitest"
import { Effect, Fiber, Logger } from "effect"
import { TestClock } from "effect/testing"
import * as Startup from "../src/Startup.ts"

it.effect("logs a step of the start that takes long, and none that is short", () =>
  Effect.gen(function* () {
    const lines: Array<unknown> = []
    const collected = Logger.layer([Logger.make(({ message }) => void lines.push(message))])
    const step = (name: string, duration: string) =>
      Startup.during(name, Effect.sleep(duration === "long" ? "5 seconds" : "500 millis"))
    const start = Effect.andThen(
      step("The database is being created.", "long"),
      step("PostgreSQL is starting.", "short")
    )
    const fiber = yield* Effect.forkChild(Effect.provide(start, collected))
    yield* TestClock.adjust("900 millis")
    assert.isEmpty(lines)
    yield* TestClock.adjust("200 millis")
    assert.deepStrictEqual(lines, [["The database is being created."]])
    yield* TestClock.adjust("10 seconds")
    yield* Fiber.join(fiber)
    assert.lengthOf(lines, 1)
  })
)

/** What the commands write to a terminal, and where. */
import { afterEach, assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { Screen } from "../../src/Cli/Screen.ts"

const { stderr, stdout } = process
const own = { isTTY: stderr.isTTY, err: stderr.write, out: stdout.write }

afterEach(() => {
  stderr.isTTY = own.isTTY
  stderr.write = own.err
  stdout.write = own.out
})

/** Everything written, in order. */
const written = (isTTY: boolean, use: (screen: Screen["Service"]) => Effect.Effect<void>) =>
  Effect.gen(function* () {
    const all: Array<string> = []
    const record = (text: unknown) => all.push(String(text)) > 0
    stderr.isTTY = isTTY
    stderr.write = record
    stdout.write = record
    yield* Effect.provide(Effect.flatMap(Screen, use), Screen.layer)
    return all.join("")
  })

it.effect("rewrites one progress line on a terminal, and puts the result in its place", () =>
  Effect.gen(function* () {
    const text = yield* written(true, (screen) =>
      Effect.andThen(screen.progress(undefined, "half"), screen.result("done"))
    )
    assert.strictEqual(text, "\r\u001b[Khalf\r\u001b[Kdone\n\r\u001b[K")
  })
)

it.effect("prints at most one progress line every few seconds without a terminal", () =>
  Effect.gen(function* () {
    const text = yield* written(false, (screen) =>
      Effect.andThen(
        Effect.forEach([0, 0.5, 1, 1], (at) => screen.progress(at, "of it"), { discard: true }),
        screen.result("done")
      )
    )
    assert.strictEqual(text, "  0 % of it\ndone\n")
  })
)

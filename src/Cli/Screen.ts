/** Output of the commands: results on standard output, progress and notices on standard error. */
import { Clock, Context, Duration, Effect, Layer, Ref } from "effect"

/** Shortest time between two progress lines. */
const redraw = { terminal: Duration.millis(100), log: Duration.seconds(10) }

export class Screen extends Context.Service<
  Screen,
  {
    /** Replaces the previous progress line, at a limited rate. `fraction` is undefined when the total is unknown. */
    progress(fraction: number | undefined, text: string): Effect.Effect<void>
    /** Prints a permanent line. */
    print(text: string): Effect.Effect<void>
    /** Prints a line of the result. On a terminal it takes the place of the progress line. */
    result(text: string): Effect.Effect<void>
  }
>()("spillway/Cli/Screen") {
  static readonly layer = Layer.effect(
    Screen,
    Effect.gen(function* () {
      const { stderr } = process
      const interactive = stderr.isTTY
      const pause = Duration.toMillis(interactive ? redraw.terminal : redraw.log)
      const drawnAt = yield* Ref.make(-Infinity)
      const write = (text: string) => Effect.sync(() => void stderr.write(text))
      const clear = interactive ? "\r\u001b[K" : ""

      const draw = (fraction: number | undefined, text: string) => {
        if (fraction === undefined) return write(interactive ? `${clear}${text}` : `${text}\n`)
        if (!interactive) return write(`${percent(fraction)} ${text}\n`)
        const width = Math.max(10, Math.min(40, stderr.columns - text.length - 10))
        return write(`${clear}${bar(fraction, width)} ${percent(fraction)} ${text}`)
      }
      yield* Effect.addFinalizer(() => write(interactive ? clear : ""))

      return Screen.of({
        print: (text) => write(`${clear}${text}\n`),
        result: (text) =>
          Effect.andThen(
            write(clear),
            Effect.sync(() => void process.stdout.write(`${text}\n`))
          ),
        progress: Effect.fnUntraced(function* (fraction, text) {
          const now = yield* Clock.currentTimeMillis
          const due = yield* Ref.modify(drawnAt, (at) =>
            now - at >= pause || (interactive && (fraction ?? 0) >= 1) ? [true, now] : [false, at]
          )
          if (due) yield* draw(fraction, text)
        })
      })
    })
  )
}

const percent = (fraction: number) => `${String(Math.floor(fraction * 100)).padStart(3)} %`

const bar = (fraction: number, width: number) => {
  const full = Math.round(Math.min(1, fraction) * width)
  return "█".repeat(full) + "░".repeat(width - full)
}

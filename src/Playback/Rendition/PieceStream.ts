/** Renditions as streams, and streams as bodies of responses. Each element is sent at once. */
import { Effect, Pull, type Scope, Stream } from "effect"
import type { Wav } from "../../Audio.ts"

/** Sent together. */
export type Pieces = ReadonlyArray<Uint8Array>

export interface Begun<E> {
  readonly first: Pieces
  /** The following pieces; undefined at the end. */
  readonly next: Effect.Effect<Pieces | undefined, E>
}

interface Source<E> {
  readonly begin: (range: Wav.Range) => Effect.Effect<Begun<E>, E, Scope.Scope>
}

export function streamOf<E>({ begin }: Source<E>, range: Wav.Range): Stream.Stream<Pieces, E> {
  return Stream.unwrap(
    Effect.map(begin(range), ({ first, next }) =>
      Stream.concat(
        Stream.succeed(first),
        Stream.unfold(undefined, () =>
          Effect.map(next, (pieces) => (pieces === undefined ? undefined : ([pieces, undefined] as const)))
        )
      )
    )
  )
}

/** Reads at least `least` bytes ahead, so that a failure is known before the response begins. The scope closes the stream. */
export const begin = Effect.fnUntraced(function* <E>(
  stream: Stream.Stream<Pieces, E>,
  least = 0
): Effect.fn.Return<Begun<E>, E, Scope.Scope> {
  const pull = yield* Stream.toPull(stream)
  const state = { isOver: false }
  const next = Effect.suspend(() => {
    if (state.isOver) return Effect.succeed(undefined)
    return Effect.map(pull, (pieces) => pieces.flat()).pipe(
      Pull.catchDone(() => {
        state.isOver = true
        return Effect.succeed(undefined)
      })
    )
  })
  const first: Array<Uint8Array> = []
  for (let missing = least; missing > 0 && !state.isOver;) {
    const pieces = (yield* next) ?? []
    first.push(...pieces)
    for (const { length } of pieces) missing -= length
  }
  return { first, next }
})

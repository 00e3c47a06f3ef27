/** Captures with a stream key. The module of streams says what they feed, and receives what they send. */
import { Context, Effect, Layer, Option } from "effect"
import type { Scope } from "effect"
import type { Principal } from "../Auth.ts"

type Grant = NonNullable<Principal["Service"]["grant"]>

export interface StreamCapture {
  readonly uid: string
  readonly grant: Grant
  /** Ends the capture. The client does not connect again by itself. */
  readonly end: (reason: string) => void
}

export interface StreamFeed {
  /** The conversation of a capture that sends audio and names none. */
  readonly conversation: Effect.Effect<string>
  /** Audio of a conversation has arrived. */
  readonly received: (conversation: string, bytes: number) => void
}

type Open = (capture: StreamCapture) => Effect.Effect<StreamFeed, never, Scope.Scope>

export class StreamCaptures extends Context.Service<
  StreamCaptures,
  {
    /** Registers what opens captures with a stream key. Until then they are captures of their users. */
    register(open: Open): Effect.Effect<void>
    /** Until the scope closes. None for a capture with another key. */
    open(
      capture: Omit<StreamCapture, "grant"> & { readonly grant: Grant | undefined }
    ): Effect.Effect<Option.Option<StreamFeed>, never, Scope.Scope>
  }
>()("spillway/Pusher/StreamCaptures") {
  static readonly layer = Layer.sync(StreamCaptures, () => {
    let registered: Open | undefined
    return StreamCaptures.of({
      register: (open) =>
        Effect.sync(() => {
          registered = open
        }),
      open: ({ grant, ...capture }) =>
        registered === undefined || grant === undefined
          ? Effect.succeedNone
          : Effect.asSome(registered({ ...capture, grant }))
    })
  })
}

/** A new object inside the adapters, where the stream may have any error type. */
import type { Stream } from "effect"
import type { NewObjectHead } from "../Storage.ts"

export interface StreamBody<E> {
  readonly size: number
  readonly stream: Stream.Stream<Uint8Array, E>
}

export interface Source<E> extends NewObjectHead {
  readonly body: Uint8Array | StreamBody<E>
}

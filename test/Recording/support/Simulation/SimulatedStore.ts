/** The object store with its rows, which outlives the nodes of a simulation. */
import { Span } from "../../../../src/Audio.ts"
import type { Chunk } from "../../../../src/Recording/Chunk.ts"

export interface Stored {
  readonly chunk: Chunk
  readonly audio: Buffer
}

export class SimulatedStore {
  readonly #chunks = new Map<string, ReadonlyArray<Stored>>()

  of(conversation: string): ReadonlyArray<Stored> {
    return this.#chunks.get(conversation) ?? []
  }

  find({ conversation, id }: Pick<Chunk, "conversation" | "id">): Stored | undefined {
    return this.of(conversation).find(({ chunk }) => chunk.id === id)
  }

  add(chunk: Chunk, audio: Buffer): void {
    this.#chunks.set(chunk.conversation, [
      ...this.of(chunk.conversation),
      { chunk: { ...chunk, state: "sealed" }, audio }
    ])
  }

  last(conversation: string): Chunk | undefined {
    return this.of(conversation)
      .map(({ chunk }) => chunk)
      .toSorted((a, b) => Span.end(b) - Span.end(a))[0]
  }
}

/** What a capture can't place yet, in order: audio that has no room, and conversations to switch to. Plain code. */

type Waiting =
  | { readonly _tag: "Audio"; readonly start: number; readonly audio: Uint8Array }
  | { readonly _tag: "Switch"; readonly conversation: string }

const sizeOf = (item: Waiting) => (item._tag === "Audio" ? item.audio.length : item.conversation.length)

export class Backlog {
  #items: Array<Waiting> = []
  #bytes = 0

  get bytes(): number {
    return this.#bytes
  }

  get length(): number {
    return this.#items.length
  }

  get first(): Waiting | undefined {
    return this.#items[0]
  }

  push(item: Waiting): void {
    this.#bytes += sizeOf(item)
    this.#items.push(item)
  }

  shift(): void {
    const item = this.#items.shift()
    if (item !== undefined) this.#bytes -= sizeOf(item)
  }

  /** Leaves the rest of the first item, which begins at `start`. */
  leave(start: number, audio: Uint8Array): void {
    this.shift()
    this.#bytes += audio.length
    this.#items.unshift({ _tag: "Audio", start, audio })
  }

  clear(): void {
    this.#items = []
    this.#bytes = 0
  }
}

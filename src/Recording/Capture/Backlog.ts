/** Audio, conversation switches and seals that a capture can't process yet, in order. */

type Waiting =
  | { readonly _tag: "Audio"; readonly start: number; readonly audio: Uint8Array }
  | { readonly _tag: "Switch"; readonly conversation: string }
  | { readonly _tag: "Seal" }

/** What an item counts for: the bytes of its audio, the characters of its conversation, or one. */
const sizeOf = (item: Waiting) => {
  if (item._tag === "Audio") return item.audio.length
  return item._tag === "Switch" ? item.conversation.length : 1
}

export class Backlog {
  #items: Array<Waiting> = []
  #bytes = 0

  get bytes(): number {
    return this.#bytes
  }

  get length(): number {
    return this.#items.length
  }

  get hasSeal(): boolean {
    return this.#items.some(({ _tag }) => _tag === "Seal")
  }

  get last(): Waiting | undefined {
    return this.#items.at(-1)
  }

  get first(): Waiting | undefined {
    return this.#items[0]
  }

  push(item: Waiting): void {
    this.#bytes += sizeOf(item)
    this.#items.push(item)
  }

  /** Removes the first item, if there is one. */
  shift(): void {
    const item = this.#items.shift()
    if (item !== undefined) this.#bytes -= sizeOf(item)
  }

  /** Replaces the first item by its unplaced rest, which begins at `start`. */
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

/** What a capture socket receives before its conversation is known: audio, and the conversations that are selected meanwhile. */

/** Bytes of held audio once the search has ended; more closes the socket. During the search the socket is not read. */
const maxBytes = 64 * 1024

interface HeldPiece {
  /** Unix second of the first sample. */
  readonly start: number
  readonly audio: Uint8Array
  /** The user agreed to its storage when it was received. */
  readonly isStorable: boolean
}

interface HeldSelection {
  readonly selected: string
}

export class HeldAudio {
  #search: "none" | "running" | "done" = "none"
  #items: Array<HeldPiece | HeldSelection> = []
  #bytes = 0

  /** The conversation that the audio continues is being searched for. */
  get isSearching(): boolean {
    return this.#search === "running"
  }

  get wasSearched(): boolean {
    return this.#search === "done"
  }

  get isOverfull(): boolean {
    return this.#bytes > maxBytes
  }

  hasRoomFor(audio: Uint8Array): boolean {
    return this.#search !== "done" || this.#bytes + audio.length <= maxBytes
  }

  /** False after the first call: a socket searches once. */
  beginSearch(): boolean {
    if (this.#search !== "none") return false
    this.#search = "running"
    return true
  }

  endSearch(): void {
    this.#search = "done"
  }

  /** Copies the audio. */
  add(start: number, audio: Uint8Array, isStorable: boolean): void {
    this.#items.push({ start, audio: Uint8Array.from(audio), isStorable })
    this.#bytes += audio.length
  }

  select(conversation: string): void {
    this.#items.push({ selected: conversation })
  }

  /** Removes and returns the first selected conversation. */
  takeSelected(): string | undefined {
    const index = this.#items.findIndex((item) => "selected" in item)
    const [first] = index === -1 ? [] : this.#items.splice(index, 1)
    return first !== undefined && "selected" in first ? first.selected : undefined
  }

  /** Removes and returns all, in order. */
  takeAll(): ReadonlyArray<HeldPiece | HeldSelection> {
    this.#bytes = 0
    return this.#items.splice(0)
  }
}

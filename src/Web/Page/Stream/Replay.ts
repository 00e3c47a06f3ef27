/** The chat of a broadcast, in time with the position in its VOD. */
import type { Message } from "../Chat/Model.ts"
import * as Chat from "../Chat/Model.ts"
import { fetchJson, messageFor } from "../Server.ts"
import { Store } from "../Store.ts"

/** Messages before the position are read from this far back. */
const contextMillis = 60_000
/** The next page is read when fewer milliseconds of chat are ahead. */
const aheadMillis = 30_000
const pageSize = 100
/** Messages that are shown. Beyond this, the oldest are dropped. */
const maxShown = 200
const maxLoaded = maxShown + 2 * pageSize
/** Pause after a failed request. */
const retryMillis = 3_000

interface Replay {
  readonly messages: ReadonlyArray<Message>
  readonly message: string
}

const offsetOf = ({ stream_offset_ms: offset }: Message) => offset ?? 0

export class ChatReplay {
  readonly state = new Store<Replay>({ messages: [], message: "" })
  readonly #path: string
  #loaded: ReadonlyArray<Message> = []
  /** Query of the next page; undefined after the last one. */
  #next: string | undefined
  /** Chat is known from the first to the second of these, milliseconds. */
  #from = 0
  #through = -1
  #position = 0
  #isReading = false
  #failedAt = -retryMillis
  #turn = 0

  constructor(slug: string, broadcast: number) {
    this.#path = `${Chat.pathOf(slug)}/messages?broadcast=${broadcast}&limit=${pageSize}`
  }

  /**
   * Call it often while the VOD plays, and after each seek. `offset`: milliseconds since the start of the broadcast, before
   * which its first audio can lie.
   */
  show(offset: number): void {
    const position = Math.max(0, offset)
    const isElsewhere = position < this.#from || (position > this.#through + contextMillis && this.#next !== undefined)
    if (this.#through < 0 || isElsewhere) this.#restart(position)
    this.#position = position
    this.#publish()
    if (this.#next !== undefined && position > this.#through - aheadMillis) void this.#read()
  }

  #restart(position: number): void {
    this.#turn++
    this.#isReading = false
    this.#loaded = []
    this.#from = Math.max(0, Math.round(position - contextMillis))
    this.#through = this.#from
    this.#next = `&from_offset_ms=${this.#from}`
  }

  #publish(): void {
    const shown = this.#loaded.filter((message) => offsetOf(message) <= this.#position).slice(-maxShown)
    const { messages } = this.state.value
    if (shown.length !== messages.length || shown.at(-1)?.id !== messages.at(-1)?.id)
      this.state.update({ messages: shown })
  }

  async #read(): Promise<void> {
    if (this.#isReading || performance.now() - this.#failedAt < retryMillis) return
    const turn = this.#turn
    this.#isReading = true
    try {
      const page = await fetchJson(Chat.messages, this.#path + this.#next)
      if (turn !== this.#turn) return
      const all = [...this.#loaded, ...page.messages]
      this.#loaded = all.slice(-maxLoaded)
      const [first] = this.#loaded
      if (all.length > maxLoaded && first !== undefined) this.#from = offsetOf(first)
      const isMore = page.from_offset_ms !== null && page.after_id !== null
      this.#next = isMore ? `&from_offset_ms=${page.from_offset_ms}&after_id=${page.after_id}` : undefined
      this.#through = isMore ? (page.from_offset_ms ?? 0) : Infinity
      this.state.update({ message: "" })
      this.#publish()
    } catch (cause) {
      this.#failedAt = performance.now()
      if (turn === this.#turn) this.state.update({ message: messageFor(cause) })
    } finally {
      if (turn === this.#turn) this.#isReading = false
    }
  }
}

/** The messages of a device whose clock is set back, that pauses, sends audio again, and alternates between conversations. */

export const sampleRate = 16_000

/** Seconds. */
const maxMessage = 0.6

/** A shorter replay can't be told from chance: see `leastNeedleBytes` in `src/Audio/Bitstream.ts`. */
const leastSamples = 32

/** Seconds. A pause of more than 90 begins another audio file. */
const maxPause = 20

/** Messages that are sent again in one go. */
const maxRepeated = 4

export interface Message {
  readonly start: number
  readonly audio: Buffer
}

/** Samples that are never 0, which only silence has. */
export const noise = (samples: number, next: () => number): Buffer => {
  const pcm = Buffer.alloc(samples * 2)
  for (let at = 0; at < samples; at++) {
    const value = Math.floor(next() * 65_535) - 32_767
    pcm.writeInt16LE(value === 0 ? 1 : value, at * 2)
  }
  return pcm
}

export interface Drawn {
  readonly conversation: string
  readonly pauseSeconds: number
  /** What is sent again before the message. */
  readonly again: ReadonlyArray<Message>
  readonly message: Message
}

export class Messages {
  /** What each conversation must play, without silence. */
  readonly sent = new Map<string, Array<Buffer>>()
  readonly #next: () => number
  readonly #name: string
  readonly #clockChance: number
  conversation: string
  /** Unix seconds by the right clock. */
  time: number
  /** Seconds by which the clock is set back: never to before the last pause, because audio may still be recorded there. */
  #setBack = 0
  /** Seconds of audio since the last pause. */
  #contiguous = 0
  #last: ReadonlyArray<Message> = []

  /** `setClock`: the probability, for each message, that the clock is set back. It is set right more often. */
  constructor(name: string, next: () => number, { setClock = 0.005 } = {}) {
    this.#name = name
    this.#next = next
    this.#clockChance = setClock
    this.conversation = `${name}-0`
    this.time = 1_700_000_000 + next() * 1e6
  }

  draw(): Drawn {
    const { again, pauseSeconds } = this.#decide()
    const samples = Math.max(leastSamples, Math.round(this.#next() * maxMessage * sampleRate))
    const message = { start: this.time - this.#setBack, audio: noise(samples, this.#next) }
    this.time += samples / sampleRate
    this.#contiguous += samples / sampleRate
    this.#last = [...this.#last, message].slice(-maxRepeated)
    this.sent.set(this.conversation, [...(this.sent.get(this.conversation) ?? []), message.audio])
    return { conversation: this.conversation, pauseSeconds, again, message }
  }

  #decide(): Pick<Drawn, "again" | "pauseSeconds"> {
    const nothing = { again: [], pauseSeconds: 0 }
    const chance = this.#next()
    if (chance < 0.01) {
      this.conversation = `${this.#name}-${Math.floor(this.#next() * 3)}`
      this.#setClockBack(0)
      this.#contiguous = 0
    } else if (chance < 0.03) {
      const pauseSeconds = this.#next() * maxPause
      // The times of the gap are free: with the clock still set back, what is sent next would belong there.
      if (pauseSeconds < this.#setBack) this.#setClockBack(0)
      this.time += pauseSeconds
      this.#contiguous = 0
      return { ...nothing, pauseSeconds }
    } else if (chance < 0.05 && this.#setBack === 0) {
      // One alone looks like a clock that stands still, so its samples would be new.
      const again = this.#last.slice(-2 - Math.floor(this.#next() * (maxRepeated - 1)))
      if (again.length >= 2) return { ...nothing, again }
    } else if (this.#clockChance > 0 && chance < 0.05 + this.#clockChance) {
      this.#setClockBack(this.#setBack > 0 ? 0 : this.#next() * this.#contiguous)
      this.#contiguous = 0
    }
    return nothing
  }

  /** What was sent before is not sent again: by the clock as it is then, it would be new audio. */
  #setClockBack(seconds: number): void {
    this.#setBack = seconds
    this.#last = []
  }
}

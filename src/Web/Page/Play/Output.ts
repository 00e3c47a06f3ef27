/** Schedules pieces of audio on the audio clock, each where the one before it ends. */

/** Delay of the first sample, which covers the time for scheduling. */
const leadSeconds = 0.03

interface Scheduled {
  readonly node: AudioBufferSourceNode
  readonly at: number
  readonly samples: number
  /** Position in the track, in samples, and how fast it advances. */
  readonly from: number
  readonly speed: number
}

export class Output {
  #context: AudioContext | undefined
  #scheduled: Array<Scheduled> = []
  #due = 0

  /** The context has the file's own rate, so that pieces join without resampling. */
  open(sampleRate: number): Promise<void> {
    if (this.#context?.sampleRate !== sampleRate) {
      void this.#context?.close()
      this.#context = new AudioContext({ sampleRate, latencyHint: "interactive" })
    }
    return this.#context.resume().catch(() => {})
  }

  get #now(): number {
    return this.#context?.currentTime ?? 0
  }

  get ahead(): number {
    return Math.max(0, this.#due - this.#now)
  }

  add(samples: Float32Array<ArrayBuffer>, from: number, speed: number): void {
    const context = this.#context
    if (context === undefined || samples.length === 0) return
    const buffer = context.createBuffer(1, samples.length, context.sampleRate)
    buffer.copyToChannel(samples, 0)
    const node = context.createBufferSource()
    node.buffer = buffer
    node.connect(context.destination)
    const earliest = Math.max(this.#due, context.currentTime + leadSeconds)
    // Rounded to whole samples, so that pieces join without a click.
    const at = Math.ceil(earliest * context.sampleRate - 1e-6) / context.sampleRate
    node.start(at)
    const played = this.#scheduled.findLastIndex((piece) => piece.at <= this.#now)
    if (played > 0) this.#scheduled.splice(0, played)
    this.#scheduled.push({ node, at, samples: samples.length, from, speed })
    this.#due = at + samples.length / context.sampleRate
  }

  /** Seconds from the start of the track; undefined before the first sample is played. */
  get position(): number | undefined {
    const context = this.#context
    const current = this.#scheduled.findLast(({ at }) => at <= this.#now)
    if (context === undefined || current === undefined) return undefined
    const heard = Math.min(current.samples / context.sampleRate, this.#now - current.at)
    return current.from / context.sampleRate + heard * current.speed
  }

  get isSounding(): boolean {
    const rate = this.#context?.sampleRate ?? 1
    return this.#scheduled.some(({ at, samples }) => at <= this.#now && this.#now < at + samples / rate)
  }

  clear(): void {
    for (const { node } of this.#scheduled.splice(0)) {
      node.stop()
      node.disconnect()
    }
    this.#due = 0
  }
}

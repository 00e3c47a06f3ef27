/** Runs in the audio thread: cuts the microphone's samples into pieces of PCM16 with the time at which each ends. */

declare class AudioWorkletProcessor {
  readonly port: MessagePort
}
declare function registerProcessor(name: string, processor: new () => AudioWorkletProcessor): void
declare const sampleRate: number

const pieceSeconds = 0.1

class Microphone extends AudioWorkletProcessor {
  #piece = new Int16Array(Math.round(sampleRate * pieceSeconds))
  #used = 0
  #peak = 0
  #stopped = false

  constructor() {
    super()
    this.port.addEventListener("message", () => {
      this.#send()
      this.#stopped = true
      this.port.postMessage("stopped", [])
    })
    this.port.start()
  }

  process(inputs: ReadonlyArray<ReadonlyArray<Float32Array>>): boolean {
    for (const value of inputs[0]?.[0] ?? []) {
      const sample = Math.max(-32_768, Math.min(32_767, Math.round(value * 32_768)))
      this.#peak = Math.max(this.#peak, Math.abs(sample))
      this.#piece[this.#used++] = sample
      if (this.#used === this.#piece.length) this.#send()
    }
    return !this.#stopped
  }

  #send(): void {
    if (this.#used === 0 || this.#stopped) return
    const pcm = this.#piece.slice(0, this.#used).buffer
    this.port.postMessage({ pcm, peak: this.#peak / 32_768, endedAt: Date.now() / 1000 }, [pcm])
    this.#used = 0
    this.#peak = 0
  }
}

registerProcessor("spillway-microphone", Microphone)

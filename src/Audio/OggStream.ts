/** Puts recorded Opus packets on the timeline of an Ogg file, without encoding them again. */
import * as Ogg from "./Ogg.ts"
import * as OpusContainer from "./OpusContainer.ts"

const granulesPerMilli = Ogg.granuleRate / 1_000

/** Granules of the shortest packet: 2.5 ms. */
const shortest = 120

/** The look-ahead of the recorded streams is unknown; an encoder's is at least this. */
const preSkip = 120

/** Packets of silence by their length: one CELT frame each. */
const silences = [3, 2, 1, 0].map((size) => ({
  granules: shortest << size,
  packet: Uint8Array.of((28 + size) << 3, 0xff, 0xfe)
}))

/** Silence that is made at once: 24 hours of it take seconds. A multiple of the longest packet. */
const fillGranules = 60 * Ogg.granuleRate

/** Bounds of a page: a second of audio, and the segments that its head can count. */
const pageGranules = Ogg.granuleRate
const pageSegments = 255

const segmentsOf = ({ length }: Uint8Array): number => Math.floor(length / 255) + 1

/**
 * Gaps are packets of silence, right to 2.5 ms; overlaps are trimmed to whole packets. Each packet is placed by its own
 * position, so that no error adds up: a packet is late by half its length at most.
 */
export class OggStream {
  readonly #serial: number
  readonly #total: number
  #sequence = 2
  /** The end of the packets so far, and of the last page. */
  #at = 0
  #written = 0
  #segments = 0
  #packets: Array<Uint8Array> = []
  #pages: Array<Uint8Array>

  constructor(id: string, sampleRate: number, samples: number) {
    this.#serial = Ogg.serialOf(id)
    this.#total = preSkip + Math.round((samples * Ogg.granuleRate) / sampleRate)
    this.#pages = [Ogg.heads(this.#serial, sampleRate, preSkip)]
  }

  /** Silence up to a second of the file or its end, of at most a minute. Returns whether it was reached. */
  fill(to: number): boolean {
    const end = Math.min(this.#total, Math.round(to * Ogg.granuleRate))
    this.#fill(Math.min(end, this.#at + fillGranules))
    return end - this.#at < shortest
  }

  /**
   * Seconds: where the packets begin in the file, and the part of it in which they are heard. What is behind the end is dropped:
   * the last piece of a file may have grown.
   */
  add(packets: ReadonlyArray<Uint8Array>, begin: number, to: number): void {
    const end = Math.min(this.#total, Math.round(to * Ogg.granuleRate))
    let at = Math.round(begin * Ogg.granuleRate)
    for (const packet of packets) {
      const granules = OpusContainer.milliseconds(packet) * granulesPerMilli
      if (at >= end) return
      if (this.#at - at <= granules / 2) {
        this.#fill(at)
        this.#put(packet, granules)
      }
      at += granules
    }
  }

  /** Silence up to the end, which is exact: players discard the rest of the last packet. */
  end(): void {
    this.#fill(this.#total)
    if (this.#at < this.#total) this.#silence(shortest)
    this.#flush("last", Math.min(this.#at, this.#total))
  }

  /** Complete pages since the last call. */
  take(): Uint8Array {
    const pages = Buffer.concat(this.#pages)
    this.#pages = []
    return pages
  }

  /** At most to the end of the file: no packet is put behind it. */
  #fill(to: number): void {
    for (const { granules } of silences) while (to - this.#at >= granules) this.#silence(granules)
  }

  #silence(granules: number): void {
    const found = silences.find((each) => each.granules === granules)
    if (found !== undefined) this.#put(found.packet, granules)
  }

  #put(packet: Uint8Array, granules: number): void {
    if (this.#at >= this.#total) return
    const isFull =
      this.#at + granules - this.#written > pageGranules || this.#segments + segmentsOf(packet) > pageSegments
    if (isFull && this.#packets.length > 0) this.#flush("middle", this.#at)
    this.#packets.push(packet)
    this.#segments += segmentsOf(packet)
    this.#at += granules
  }

  #flush(position: "middle" | "last", granule: number): void {
    const page = { serial: this.#serial, sequence: this.#sequence++, granule, position, packets: this.#packets }
    this.#pages.push(Ogg.page(page))
    this.#packets = []
    this.#segments = 0
    this.#written = this.#at
  }
}

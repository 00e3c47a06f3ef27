/** The extents of a chunk, packed: as objects, about 120 of them would be most of a capture's heap. */
import type { Segment } from "./Segment.ts"

export interface Extent {
  readonly segment: Segment
  /** Byte offset of the audio in the segment. */
  readonly position: number
  readonly length: number
}

export interface RecordExtent extends Extent {
  readonly samples: number
}

/** Extents for which there is room at first: eight seconds of audio with the default commit interval. */
const firstExtents = 16

/** Per extent: the index of its segment, position, length and samples. A segment has less than 4 GiB. */
const fields = 4

export class Extents implements Iterable<RecordExtent> {
  #numbers = new Uint32Array(firstExtents * fields)
  /** Those that an extent is or was in. */
  readonly #segments: Array<Segment> = []
  #length = 0

  get length(): number {
    return this.#length
  }

  push(extent: RecordExtent): void {
    if (this.#length * fields === this.#numbers.length) {
      const grown = new Uint32Array(Math.max(firstExtents, this.#length * 2) * fields)
      grown.set(this.#numbers)
      this.#numbers = grown
    }
    this.replace(this.#length++, extent)
  }

  /** Frees the room for more extents. */
  compact(): void {
    this.#numbers = this.#numbers.slice(0, this.#length * fields)
  }

  replace(index: number, { length, position, samples, segment }: RecordExtent): void {
    const known = this.#segments.lastIndexOf(segment)
    const at = index * fields
    this.#numbers[at] = known === -1 ? this.#segments.push(segment) - 1 : known
    this.#numbers[at + 1] = position
    this.#numbers[at + 2] = length
    this.#numbers[at + 3] = samples
  }

  isIn(segment: Segment): boolean {
    return this.bytesIn(segment) > 0
  }

  bytesIn(segment: Segment): number {
    let bytes = 0
    for (const extent of this) if (extent.segment === segment) bytes += extent.length
    return bytes
  }

  *[Symbol.iterator](): Generator<RecordExtent, void> {
    for (let at = 0; at < this.#length * fields; at += fields) {
      const [segment, position = 0, length = 0, samples = 0] = this.#numbers.subarray(at, at + fields)
      const of = this.#segments[segment ?? 0]
      if (of !== undefined) yield { segment: of, position, length, samples }
    }
  }
}

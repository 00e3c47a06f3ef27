/** Ogg files with Opus packets of one size: the place of every byte follows from the number of samples. */
import * as Ogg from "./Ogg.ts"
import type { Summary } from "./Timeline.ts"
import type { Range } from "./Wav.ts"

/** Bytes of a packet: 20 ms at 32 kb/s. */
export const packetBytes = 80
const packetsOfPage = 50
const pagesOfBlock = 4
export const packetsOfBlock = pagesOfBlock * packetsOfPage

const packetGranules = Ogg.granuleRate / 50
/** The look-ahead of libopus without SILK: 2.5 ms. */
export const preSkip = 120
export const headPages = 2

const headsSize = Ogg.heads(0, Ogg.granuleRate, preSkip).length
const sizeOf = (packets: number) => Ogg.pageSize(Array.from({ length: packets }, () => packetBytes))
const fullPageSize = sizeOf(packetsOfPage)

export interface Layout {
  readonly size: number
  readonly packets: number
  /** Samples at 48 kHz, the pre-skip included. */
  readonly granules: number
}

export function layout({ sampleRate, samples }: Pick<Summary, "sampleRate" | "samples">): Layout {
  const granules = preSkip + Math.round((samples * Ogg.granuleRate) / sampleRate)
  const packets = Math.ceil(granules / packetGranules)
  const rest = packets % packetsOfPage
  const size = headsSize + Math.floor(packets / packetsOfPage) * fullPageSize + (rest > 0 ? sizeOf(rest) : 0)
  return { size, packets, granules }
}

export function blocksOf({ end, start }: Range): { readonly first: number; readonly end: number } {
  const size = pagesOfBlock * fullPageSize
  return {
    first: Math.max(0, Math.floor((start - headsSize) / size)),
    end: Math.max(0, Math.ceil((end - headsSize) / size))
  }
}

const clip = (bytes: Uint8Array, at: number, { end, start }: Range): Uint8Array =>
  bytes.subarray(Math.max(0, start - at), Math.max(0, end - at))

/** The bytes of a range that are before all blocks. */
export function headsIn(range: Range, id: string, sampleRate: number): Uint8Array {
  return clip(Ogg.heads(Ogg.serialOf(id), sampleRate, preSkip), 0, range)
}

/** The bytes of a range that are in a block. `encoded`: its packets, one after another. */
export function blockIn(range: Range, id: string, file: Layout, block: number, encoded: Uint8Array): Uint8Array {
  const serial = Ogg.serialOf(id)
  const pages: Array<Uint8Array> = []
  for (let at = 0; at < encoded.length; at += packetsOfPage * packetBytes) {
    const index = block * pagesOfBlock + pages.length
    const isLast = (index + 1) * packetsOfPage >= file.packets
    const count = Math.min(packetsOfPage, (encoded.length - at) / packetBytes)
    const packets = Array.from({ length: count }, (_, packet) =>
      encoded.subarray(at + packet * packetBytes, at + (packet + 1) * packetBytes)
    )
    const granule = isLast ? file.granules : (index + 1) * Ogg.granuleRate
    const position = isLast ? "last" : "middle"
    pages.push(Ogg.page({ serial, sequence: headPages + index, granule, position, packets }))
  }
  return clip(Buffer.concat(pages), headsSize + block * pagesOfBlock * fullPageSize, range)
}

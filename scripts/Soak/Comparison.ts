/** Compares the stored chunks with what the devices have sent, by their places, shifts and checksums. */
import { crc32c } from "@node-rs/crc32"
import type { PostgresServer } from "../../test/support/PostgresServer.ts"
import { type Device, rate } from "./Devices.ts"

interface Chunk {
  readonly conversation: string
  readonly start: number
  readonly samples: number
  readonly crc: number | null
  readonly lost: boolean
  readonly shift: number
}

export interface Comparison {
  readonly conversations: number
  readonly chunks: number
  readonly sentSamples: number
  readonly storedSamples: number
  /** Sent, and in no chunk. */
  readonly missing: number
  /** Chunks that are lost, or hold other audio than was sent for their place. */
  readonly different: number
  /** Samples of chunks that lie later than they were sent for, as a replay does that could not be compared. */
  readonly shifted: number
  /** Samples in two chunks at the same place, of which one is played. */
  readonly overlapping: number
  /** Samples that are played twice. */
  readonly doubled: number
  /** The first chunks that are different or shifted: the second of their device, and the shift of the clock. */
  readonly examples: ReadonlyArray<{ readonly conversation: string; readonly second: number; readonly shift: number }>
}

interface Range {
  readonly from: number
  readonly to: number
}

const maxExamples = 100

/** Samples of `ranges` that are in none before. */
const union = (ranges: ReadonlyArray<Range>): number => {
  let end = -Infinity
  let covered = 0
  for (const { from, to } of ranges.toSorted((a, b) => a.from - b.from)) {
    covered += Math.max(0, to - Math.max(from, end))
    end = Math.max(end, to)
  }
  return covered
}

export const compare = async (database: PostgresServer, devices: ReadonlyArray<Device>): Promise<Comparison> => {
  const counts = { conversations: 0, chunks: 0, sentSamples: 0, storedSamples: 0, missing: 0, different: 0, shifted: 0 }
  const examples: Array<Comparison["examples"][number]> = []
  let [overlapping, doubled] = [0, 0]
  for (const device of devices) {
    const rows = await database.query<Chunk>(`
      select conversation_id as conversation, start_at as start, samples::float8 as samples, crc32c::float8 as crc,
             lost, clock_shift as shift
      from chunks where uid = '${device.uid}' order by start_at`)
    const byConversation = Map.groupBy(rows, ({ conversation }) => conversation)
    for (const { conversation, from, to } of device.recorded) {
      const chunks = byConversation.get(conversation) ?? []
      const places: Array<Range> = []
      const sent: Array<Range> = []
      for (const { crc, lost, samples, shift, start } of chunks) {
        const at = Math.round((start - device.start) * rate)
        const own = at - Math.round(shift * rate)
        const isSame = !lost && own >= from && own + samples <= to && crc === crc32c(device.audio(own, samples))
        places.push({ from: at, to: at + samples })
        if (isSame) sent.push({ from: own, to: own + samples })
        else counts.different++
        if (shift !== 0) counts.shifted += samples
        counts.storedSamples += samples
        const second = Math.round(at / rate)
        if ((!isSame || shift !== 0) && examples.length < maxExamples) examples.push({ conversation, second, shift })
      }
      const heard = union(places)
      const covered = union(sent)
      overlapping += places.reduce((sum, place) => sum + place.to - place.from, 0) - heard
      doubled += Math.max(0, heard - covered)
      counts.missing += to - from - covered
      counts.chunks += chunks.length
      counts.sentSamples += to - from
      if (to > from) counts.conversations++
    }
  }
  return { ...counts, overlapping, doubled, examples }
}

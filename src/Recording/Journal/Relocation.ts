/** What is needed of one segment of the journal goes on in another, so that the first can be deleted. */
import { Effect } from "effect"
import { write } from "./JournalRecord.ts"
import type { Extent, JournalChunk } from "./JournalChunk.ts"
import type { Segment } from "./Segment.ts"

/**
 * Record by record, with the same heads: a kill before the first segment is deleted leaves each of them twice, and recovery
 * takes one. A chunk may be released meanwhile; nothing may be added to either segment.
 */
export const move = Effect.fnUntraced(function* (from: Segment, to: Segment) {
  const moved: Array<{ readonly chunk: JournalChunk; readonly index: number; readonly extent: Extent }> = []
  for (const chunk of from.live) {
    let offset = chunk.origin.offset
    for (const [index, extent] of chunk.extents.entries()) {
      if (extent.segment === from) {
        const audio = Buffer.allocUnsafe(extent.length)
        if ((yield* from.read(audio, extent.position)) < extent.length) return yield* from.tooShort
        const record = Buffer.allocUnsafe(chunk.head.length + extent.length)
        write(record, 0, chunk.head, offset, audio)
        const position = to.size + chunk.head.length
        yield* to.append(record)
        moved.push({ chunk, index, extent: { segment: to, position, length: extent.length } })
      }
      offset += extent.length
    }
  }
  if (moved.length > 0) yield* to.sync
  for (const { chunk, extent, index } of moved) {
    if (chunk.state === "released") continue
    chunk.extents[index] = extent
    to.live.add(chunk)
  }
  from.live.clear()
})

/**
 * Pages of an audio file's chunks, kept so that the next range nearby needs the file's row only. What a page has changes with
 * the file's first chunk or revision; growth changes only what lies behind the page.
 */
import { Placement } from "../../Audio.ts"
import { BoundedMap } from "../../BoundedMap.ts"
import type { Chunk } from "../Chunk.ts"
import type { FileRow, Name } from "./IndexRows.ts"
import type { Placed } from "./LayoutMerge.ts"

/** Chunks per page: about half an hour of audio. */
export const pageSize = 32

/** In samples; `to` is exclusive. */
export interface SampleRange {
  readonly from: number
  readonly to: number
}

export interface Page {
  /** Revision of the file's row at the time of the read; none if the file no longer exists. */
  readonly revision: number | undefined
  readonly rows: ReadonlyArray<Placed<Chunk>>
}

/** All chunks that are heard from sample `from` of the file to `to`, or at least the first ones. */
export interface PageOfRange extends SampleRange {
  readonly page: Page
}

export function isFull({ rows }: Page): boolean {
  return rows.length >= pageSize
}

interface Known extends PageOfRange {
  readonly firstId: string
  /** Largest `near.to` that it serves. */
  readonly reach: number
}

/** Of at most about 20 kB each. The one that was read first is forgotten. */
const maxPages = 512

/** A page is read to the end of its block, in samples: about four minutes of speech. */
const blockSamples = 2 ** 22

/** Samples by which `near` may extend beyond its range, and so beyond the end of the file: a header, and rounding. */
const overshoot = 64

interface Read {
  /** Undefined: only the file's row. */
  readonly range: SampleRange | undefined
  /** The page for the row that was read. `page`: what was read of `range`. */
  readonly found: (file: FileRow, page: Page) => PageOfRange | undefined
}

export interface ChunkPages {
  readonly readFor: (name: Name, id: string, near: SampleRange) => Read
}

export function make(bound = maxPages): ChunkPages {
  const pages = new BoundedMap<Known>(bound)
  return {
    readFor: ({ conversation, uid }, id, near) => {
      if (near.to - near.from > blockSamples) return { range: near, found: (_, page) => ({ ...near, page }) }
      const block = Math.max(0, Math.floor(near.from / blockSamples))
      const key = `${uid}/${conversation}/${id}/${block}`
      const known = pages.get(key)
      if (known !== undefined && known.from <= near.from && near.to <= known.reach) {
        const found = ({ firstId, revision }: FileRow) => {
          if (known.firstId === firstId && known.page.revision === revision) return known
          pages.delete(key)
          return undefined
        }
        return { range: undefined, found }
      }
      // Together with what is known, so that ranges in turn do not replace each other's page; unless that would be too much.
      const { from, to } = known !== undefined && !isFull(known.page) ? known : near
      const range = { from: Math.min(near.from, from), to: Math.max(near.to, to, (block + 1) * blockSamples) }
      const found = ({ endAt, firstId, sampleRate, start }: FileRow, page: Page) => {
        const last = isFull(page) ? page.rows.at(-1)?.placement : undefined
        // Chunks that are added later continue the file.
        const end = last === undefined ? endAt : last.at + last.heard
        const to = Math.min(range.to, end - Placement.positionOf(start, sampleRate))
        const isToEnd = last === undefined && to < range.to
        pages.set(key, { from: range.from, to, page, firstId, reach: isToEnd ? to + overshoot : to })
        return { from: near.from, to: Math.max(near.to, to), page }
      }
      return { range, found }
    }
  }
}

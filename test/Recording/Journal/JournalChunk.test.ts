/** `src/Recording/Journal/JournalChunk.ts`: thousands of chunks wait in an outage, so each takes little memory. */
import { assert, it } from "@effect/vitest"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import * as ChunkId from "../../../src/Recording/Journal/ChunkId.ts"
import { JournalChunk } from "../../../src/Recording/Journal/JournalChunk.ts"
import { Segment } from "../../../src/Recording/Journal/Segment.ts"

setFlagsFromString("--expose-gc")
const collect: () => void = runInNewContext("gc")

const [chunks, commits, rate] = [2_000, 120, 160]

/** The second collection waits for the first one's sweep of array buffers. */
const retainedBytes = (): number => {
  for (let time = 0; time < 2; time++) collect()
  const { arrayBuffers, heapUsed } = process.memoryUsage()
  return arrayBuffers + heapUsed
}

/** A minute of audio, committed every half second; commits fill a segment in four seconds. */
const waiting = (segments: ReadonlyArray<Segment>): JournalChunk => {
  const head = {
    id: ChunkId.make(0),
    uid: "user",
    conversation: "c",
    start: 0,
    sampleRate: rate,
    codec: "pcm16"
  } as const
  const chunk = new JournalChunk(head, 0)
  const audio = new Uint8Array(rate)
  for (let commit = 0; commit < commits; commit++) {
    const segment = segments[Math.floor(commit / 8)] ?? assert.fail("there are as many segments")
    chunk.peaks.add(audio)
    chunk.addExtent({ segment, position: commit * audio.length, length: audio.length, samples: audio.length / 2 })
  }
  assert.isAbove(chunk.head.length, 0)
  chunk.settle()
  chunk.compact()
  return chunk
}

it("holds a minute of audio that waits for the store in less than 4.4 KB", () => {
  const segments = Array.from({ length: commits / 8 }, (_, number) => new Segment(number, "/journal", -1, 0))
  for (let warm = 0; warm < 200; warm++) waiting(segments)
  const before = retainedBytes()
  const held = Array.from({ length: chunks }, () => waiting(segments))
  const each = (retainedBytes() - before) / held.length
  assert.isBelow(each, 4_380)
  // Less would mean that they were collected.
  assert.isAbove(each, 3_000)
})

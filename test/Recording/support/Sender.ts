/** A device that sends frames with stamps of a test's choice, and the playback of what was recorded. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { Timeline } from "../../../src/Audio.ts"
import { ended, ramp, type TestNode } from "./TestNode.ts"

export const rate = 8000
export const epoch = 1_700_000_000
/** A tenth of a second. */
export const frame = 800

interface Frame {
  readonly start: number
  readonly audio: Uint8Array
}

/** `count` frames of the ramp from sample `from` on, with these stamps. */
export const frames = (count: number, from: number, stamp: (index: number) => number): ReadonlyArray<Frame> =>
  Array.from({ length: count }, (_, index) => ({ start: stamp(index), audio: ramp(frame, from + index * frame) }))

export const inOrder = (index: number) => epoch + index / 10

export const assertHeard = (audio: Buffer, expected: Uint8Array) => {
  let same = 0
  while (same < audio.length && audio[same] === expected[same]) same++
  assert.deepStrictEqual({ bytes: audio.length, same }, { bytes: expected.length, same: expected.length })
}

export class Sender {
  readonly node: TestNode
  readonly heard: ReturnType<TestNode["capture"]>["heard"]
  readonly #capture: ReturnType<TestNode["capture"]>["capture"]

  constructor(node: TestNode, options: Parameters<TestNode["capture"]>[0] = {}) {
    this.node = node
    const { capture, heard } = node.capture(options)
    this.#capture = capture
    this.heard = heard
    capture.switchTo("c")
  }

  /** Sends frames, pauses while the buffer is full, and commits after every fifth frame. */
  send(frames: ReadonlyArray<Frame>) {
    return Effect.forEach(frames, ({ audio, start }, index) =>
      Effect.gen({ self: this }, function* () {
        const { rooms } = this.heard
        if (this.#capture.append(start, audio) === "full")
          while (this.heard.rooms === rooms) yield* Effect.andThen(this.node.journal.commit, Effect.yieldNow)
        if (index % 5 === 4) yield* this.node.journal.commit
        this.node.now += 100
      })
    )
  }

  get end() {
    return ended(this.#capture, this.node.journal)
  }
}

/** The audio of the conversation without silence, and its audio files as pairs of first sample and length. */
export const playback = (node: TestNode) =>
  Effect.gen(function* () {
    const conversation = node.conversation("c")
    const files = Timeline.layout(
      [...conversation.chunks].filter(({ durable }) => durable > 0).map((chunk) => chunk.toChunk()),
      90
    )
    const audio: Array<Uint8Array> = []
    for (const { pieces } of files)
      for (const { chunk, samples, skip } of pieces) {
        const live = conversation.chunk(chunk.id)
        if (live !== undefined) audio.push(yield* node.journal.read(live, skip * 2, (skip + samples) * 2))
      }
    return {
      audio: Buffer.concat(audio),
      files: files.map(({ samples, start }) => [Math.round((start - epoch) * rate), samples]),
      chunks: [...conversation.chunks].length,
      shifts: [...conversation.chunks].map(({ clockShifts }) => Math.round(Math.max(0, ...clockShifts) * 1000) / 1000)
    }
  })

/** Samples that all differ. */
export const unique = (samples: number, from: number) => {
  const audio = Buffer.alloc(samples * 2)
  for (let index = 0; index < samples; index++) audio.writeUInt16LE(from + index, index * 2)
  return audio
}

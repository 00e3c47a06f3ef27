/** Audio files in pages of two chunks. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { Wav } from "../../src/Audio.ts"
import * as Plan from "../../src/Precache/Plan.ts"
import { type Chunk, Recording } from "../../src/Recording.ts"
import { MemoryRecording, rate, t0 } from "../Playback/support/MemoryRecording.ts"
import { idOf } from "../Playback/support/ServedAudio.ts"

const object = { bytes: rate * 2, crc32c: 7 }

const fileOf = (chunks: ReadonlyArray<Partial<Chunk>>) => {
  const recording = new MemoryRecording()
  recording.put("c", chunks)
  return Recording.use(({ file }) => file("ada", "c", idOf("c"))).pipe(
    Effect.flatMap(Effect.fromOption),
    Effect.provide(recording.layer)
  )
}

/** With gaps after the second and the fourth. */
const gapped = [0, 1, 4, 5, 7].map((second) => ({ start: t0 + second, object }))

describe("a plan", () => {
  for (const [what, chunk, expected] of [
    ["plain chunks", {}, { isComposable: true }],
    ["a chunk in the journal", { state: "open" }, { isStored: false }],
    ["an encrypted chunk", { key: "chunks/ada/c/1.enc" }, { isEncrypted: true, isComposable: false }],
    ["an Opus chunk", { key: "chunks/ada/c/1.opus", codec: "pcm16" }, { isComposable: false }],
    ["a chunk without a checksum", { object: undefined }, { isComposable: false }],
    ["a chunk with an odd byte", { object: { ...object, bytes: rate * 2 + 1 } }, { isComposable: false }],
    ["a chunk that overlaps the one before", { start: t0 + 6.5 }, { isComposable: false }]
  ] as const)
    it.effect(`knows ${what} at the end of the last page`, () =>
      Effect.gen(function* () {
        const plan = yield* Plan.of(
          yield* fileOf([...gapped.slice(0, 4), { start: t0 + 6, object }, { start: t0 + 7, object, ...chunk }])
        )
        const plain = { isStored: true, isEncrypted: false, isEmpty: false, isComposable: true }
        assert.deepStrictEqual(plan, { ...plain, ...expected })
      })
    )
})

describe("a WAV file", () => {
  it.effect("is composed of a header, every chunk once, and the silence between them", () =>
    Effect.gen(function* () {
      const file = yield* fileOf(gapped)
      const parts: Array<string> = []
      const add = (part: string) => Effect.sync(() => void parts.push(part))
      yield* Plan.compose(file, {
        bytes: (bytes) => add(`${bytes.length}`),
        silence: (length) => (length === 0 ? Effect.void : add(`silence ${length}`)),
        object: ({ crc32c, key, size }) => add(`${key.split("/").at(-1)?.slice(0, 10) ?? ""} ${size} ${crc32c}`),
        finish: () => Effect.die("not used")
      })
      const chunk = (second: number) => `${t0 + second} ${rate * 2} 7`
      assert.deepStrictEqual(parts, [
        "44",
        chunk(0),
        chunk(1),
        `silence ${rate * 2 * 2}`,
        chunk(4),
        chunk(5),
        `silence ${rate * 2}`,
        chunk(7)
      ])
    })
  )

  it.effect("is read in slices that have one chunk each and are all of it", () =>
    Effect.gen(function* () {
      const file = yield* fileOf(gapped)
      const slices = yield* Stream.runCollect(Plan.slices(file))
      const at = (second: number) => 44 + second * rate * 2
      assert.deepStrictEqual(slices, [
        { start: 0, end: at(1) },
        { start: at(1), end: at(4) },
        { start: at(4), end: at(5) },
        { start: at(5), end: at(7) },
        { start: at(7), end: Wav.size(file, "wav") }
      ])
    })
  )
})

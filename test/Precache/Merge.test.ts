/** Ogg artifacts: audio files as Opus in Ogg, merged on a real database. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, type Layer, Ref, References } from "effect"
import { SqlClient } from "effect/sql"
import { Artifacts } from "../../src/Playback.ts"
import { Precache } from "../../src/Precache.ts"
import type { Format } from "../../src/Precache/ArtifactRows.ts"
import { Storage } from "../../src/Storage.ts"
import { packets } from "../Recording/support/OpusPackets.ts"
import { parse } from "../support/OggFiles.ts"
import {
  bytesOf,
  doomed,
  Hooks,
  merged,
  recordOpus,
  recordSeconds,
  rows,
  sweep,
  wav,
  world,
  type WorldOptions
} from "./support/World.ts"

const inWorld = <A, E>(test: Effect.Effect<A, E, Layer.Success<ReturnType<typeof world>>>, options?: WorldOptions) =>
  test.pipe(Effect.provide(world(options)), Effect.scoped, Effect.provideService(References.MinimumLogLevel, "None"))

const request = (format: Format) => Precache.use((precache) => precache.request("u", "c", format))

const opusRate = 16_000

/** Its bytes, and its packets. */
const ogg = Effect.gen(function* () {
  const row = (yield* rows).find(({ format }) => format === "ogg")
  if (row === undefined || row.key === null) return assert.fail(`no artifact: ${JSON.stringify(row)}`)
  const { contentType } = yield* (yield* Storage).head(row.key)
  assert.strictEqual(contentType, "audio/ogg; codecs=opus")
  assert.match(row.key, new RegExp(`^merged/u/c/${row.file}-[0-9a-f]{8}\\.ogg$`))
  const sent = yield* wav(row.file, "c", "ogg")
  const bytes = yield* bytesOf(row.key)
  assert.isTrue(sent.bytes.equals(bytes))
  assert.strictEqual(row.fingerprint, sent.etag)
  return { ...parse(sent.bytes), key: row.key }
})

describe("an Ogg artifact", () => {
  for (const isComposer of [true, false])
    it.live(
      `of PCM is encoded, ${isComposer ? "also where the store composes" : "where the store can't compose"}`,
      () =>
        inWorld(
          Effect.gen(function* () {
            yield* recordSeconds(0, 7)
            yield* recordSeconds(9, 12)
            yield* request("ogg")
            yield* sweep
            const { granules, key } = yield* ogg
            assert.strictEqual(granules.at(-1), 12 * 48_000 + 120)
            assert.deepStrictEqual(yield* merged, [key])
            assert.strictEqual((yield* doomed).get(key), 3 * 24 * 60)
          }),
          { isComposer }
        )
    )

  it.live("of Opus has the recorded packets", () =>
    inWorld(
      Effect.gen(function* () {
        const [first, second] = [packets(300, 2), packets(200, 3)]
        yield* recordOpus(first, 0, opusRate)
        yield* recordOpus(second, 60, opusRate)
        yield* request("ogg")
        yield* sweep
        const found = yield* ogg
        const speech = Buffer.concat(found.packets.filter(({ length }) => length > 3))
        assert.isTrue(speech.equals(Buffer.concat([...first, ...second].filter(({ length }) => length > 3))))
        assert.deepStrictEqual(yield* merged, [found.key])
      })
    )
  )

  it.live("and the WAV of the same file are made and handed out side by side", () =>
    inWorld(
      Effect.gen(function* () {
        yield* recordSeconds(0, 2)
        yield* request("wav")
        yield* sweep
        const stateOf = (format: Format) =>
          Effect.gen(function* () {
            const [row] = yield* rows
            return (yield* (yield* Artifacts).of("u", "c", { format })).get(row?.file ?? "")?.state
          })
        assert.deepStrictEqual([yield* stateOf("wav"), yield* stateOf("ogg")], ["merged", undefined])
        yield* request("ogg")
        assert.deepStrictEqual([yield* stateOf("wav"), yield* stateOf("ogg")], ["merged", "merging"])
        yield* sweep
        assert.deepStrictEqual([yield* stateOf("wav"), yield* stateOf("ogg")], ["merged", "merged"])
        assert.deepStrictEqual(
          (yield* rows).map(({ format, key }) => [format, key?.slice(-4)]),
          [
            ["ogg", ".ogg"],
            ["wav", ".wav"]
          ]
        )
        yield* ogg
      })
    )
  )

  it.live("is made again when audio was added", () =>
    inWorld(
      Effect.gen(function* () {
        yield* recordSeconds(0, 1)
        yield* request("ogg")
        yield* sweep
        const old = yield* ogg
        yield* recordSeconds(1, 2)
        yield* request("ogg")
        yield* sweep
        assert.notStrictEqual((yield* ogg).key, old.key)
        assert.strictEqual((yield* doomed).get(old.key), 60)
      })
    )
  )

  for (const codec of ["PCM", "Opus"])
    it.live(`of ${codec} never has a hole for a missing chunk`, () =>
      inWorld(
        Effect.gen(function* () {
          yield* codec === "PCM" ? recordSeconds(0, 1) : recordOpus(packets(50, 4), 0, opusRate)
          yield* codec === "PCM" ? recordSeconds(2, 3) : recordOpus(packets(50, 5), 20, opusRate)
          const storage = yield* Storage
          const [, last] = (yield* storage.list("chunks/")).objects
          yield* storage.remove(last?.key ?? "")
          yield* request("ogg")
          yield* sweep
          const [row] = yield* rows
          assert.deepStrictEqual([row?.key, row?.reason, row?.isWanted], [null, "chunks_missing", true])
          assert.deepStrictEqual(yield* merged, [])
        })
      )
    )

  it.live("of encrypted Opus is not made", () =>
    inWorld(
      Effect.gen(function* () {
        yield* recordOpus(packets(50, 6), 0, opusRate)
        const { making } = yield* Hooks
        yield* Ref.set(making, () => Effect.die(new Error("nothing is put")))
        yield* request("ogg")
        yield* sweep
        assert.deepStrictEqual([yield* rows, yield* merged], [[], []])
      }),
      { level: "enhanced" }
    )
  )

  it.live("that was given up is being merged again after a request", () =>
    inWorld(
      Effect.gen(function* () {
        yield* recordSeconds(0, 1)
        const storage = yield* Storage
        const [chunk] = (yield* storage.list("chunks/")).objects
        yield* storage.remove(chunk?.key ?? "")
        yield* request("ogg")
        yield* sweep
        yield* SqlClient.SqlClient.use((sql) => sql`update artifacts set due_at = null, dead_at = now()`)
        const stateOf = Effect.gen(function* () {
          const [row] = yield* rows
          return (yield* (yield* Artifacts).of("u", "c", { format: "ogg" })).get(row?.file ?? "")
        })
        assert.deepStrictEqual(yield* stateOf, { state: "failed", reason: "chunks_missing" })
        yield* request("ogg")
        assert.deepStrictEqual(yield* stateOf, { state: "merging" })
      })
    )
  )
})

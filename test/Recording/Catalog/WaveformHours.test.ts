/** The minutes of a conversation, stored by the hour, match its chunks in any order of arrival. */
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Option, Redacted, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { ChunkIndex } from "../../../src/Recording/Catalog/ChunkIndex.ts"
import * as PeaksAtRest from "../../../src/Recording/Catalog/PeaksAtRest.ts"
import { WaveformHours } from "../../../src/Recording/Catalog/WaveformHours.ts"
import { Protection } from "../../../src/Encryption.ts"
import { ProtectionConfig } from "../../../src/Encryption/ProtectionConfig.ts"
import * as Postgres from "../../support/Postgres.ts"
import { random, uuid } from "../support/Arrivals.ts"
import { seed } from "../../support/Seed.ts"

const protection = Protection.layer.pipe(
  Layer.provide(
    Layer.succeed(ProtectionConfig, {
      keys: 10,
      level: "enhanced",
      masterSecrets: Option.some(Redacted.make(Buffer.alloc(32, 1).toString("base64")))
    })
  )
)

const world = Layer.mergeAll(ChunkIndex.layer, WaveformHours.layer).pipe(
  Layer.provideMerge(protection),
  Layer.provideMerge(Postgres.layer)
)

interface Said {
  readonly start: number
  readonly seconds: number
  readonly level: number
}

const insert = Effect.fnUntraced(function* (conversation: string, { level, seconds, start }: Said, extension: string) {
  const index = yield* ChunkIndex
  const key = `chunks/u/${conversation}/${start}.batch.${extension}`
  const atRest = yield* PeaksAtRest.toRow(yield* Protection, "u", key, Uint8Array.from([256 - level, level, 0, 0]))
  const samples = seconds * 8000
  yield* index.insert({ uid: "u", conversation }, [
    {
      id: uuid(start),
      start,
      samples,
      sampleRate: 8000,
      codec: "pcm16",
      state: "stored",
      key,
      object: { bytes: samples * 2, crc32c: 1 },
      ...atRest
    }
  ])
})

/** The highest of each minute, by its start. */
const minutesOf = (conversation: string) =>
  Effect.flatMap(WaveformHours, (hours) =>
    Stream.runFold(
      hours.minutes({ uid: "u", conversation }, 0, 2_000_000, 1),
      () => new Map<number, number>(),
      (found, page) => {
        for (const { pair, start } of page) found.set(start, Math.max(found.get(start) ?? 0, pair[1] ?? 0))
        return found
      }
    )
  ).pipe(Effect.map((found) => [...found].sort(([a], [b]) => a - b)))

const expected = (said: ReadonlyArray<Said>) => {
  const found = new Map<number, number>()
  for (const { level, seconds, start } of said) {
    for (let minute = Math.floor(start / 60); minute * 60 < start + seconds; minute++)
      found.set(minute * 60, Math.max(found.get(minute * 60) ?? 0, level))
  }
  return [...found].sort(([a], [b]) => a - b)
}

layer(world, { excludeTestServices: true })("the minutes of a conversation", (it) => {
  for (const extension of ["bin", "enc"])
    it.effect(`equal those of its chunks after every arrival, in any order (${extension})`, () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const next = random(seed)
        const conversation = `minutes-${extension}`
        const said: Array<Said> = []
        for (let at = 0; at < 40; at++) {
          const isLate = at > 10 && next() < 0.4
          const latest = said.reduce((end, each) => Math.max(end, each.start), 1_000_000)
          const start = isLate
            ? 1_000_000 + Math.floor(next() * (latest - 1_000_000))
            : latest + Math.ceil(next() * 3000)
          if (said.some((each) => each.start === start)) continue
          const chunk = { start, seconds: 1 + Math.floor(next() * 60), level: 1 + Math.floor(next() * 120) }
          said.push(chunk)
          yield* insert(conversation, chunk, extension)
          if (next() < 0.5) assert.deepStrictEqual(yield* minutesOf(conversation), expected(said), `seed ${seed}`)
        }
        assert.deepStrictEqual(yield* minutesOf(conversation), expected(said), `seed ${seed}`)
        assert.deepStrictEqual(yield* minutesOf(conversation), expected(said), "what was kept")
        const rows = yield* sql<{ readonly clear: number; readonly sealed: number }>`
          select count(pairs)::int as clear, count(sealed_pairs)::int as sealed from waveform_hours
          where conversation_id = ${conversation}`
        const [row] = rows
        assert.isAbove((extension === "bin" ? row?.clear : row?.sealed) ?? 0, 5)
        assert.strictEqual(extension === "bin" ? row?.sealed : row?.clear, 0)
      })
    )
})

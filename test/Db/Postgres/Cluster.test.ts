/** The data directory: its creation, its version, and what else is found there. */
import { mkdirSync, readdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { copy, count, directory, failure, spawnProgram, start } from "../support/Embedded.ts"
import { until } from "../support/Fixture.ts"

it.live("creates its data directory atomically, whenever it is killed", () =>
  Effect.gen(function* () {
    const dataDir = directory()
    for (const patience of [0, 50, 150, 400]) {
      const child = spawnProgram(dataDir)
      const half = Effect.sync(() => readdirSync(dataDir).some((name) => /^postgres(\.new\.\d+)?$/.test(name)))
      yield* until(half, (begun) => begun)
      yield* Effect.sleep(Duration.millis(patience))
      child.kill("SIGKILL")
      yield* until(
        Effect.sync(() => child.signalCode),
        (signal) => signal !== null
      )
    }
    yield* Effect.scoped(Effect.flatMap(start(dataDir), count))
    assert.deepStrictEqual(readdirSync(dataDir), ["postgres"])
  })
)

it.live("names the major version that created the data when it is another one", () =>
  Effect.gen(function* () {
    const dataDir = yield* copy
    writeFileSync(join(dataDir, "postgres", "data", "PG_VERSION"), "17\n")
    assert.match(yield* failure(dataDir), /was made by PostgreSQL 17, and this Spillway brings PostgreSQL 18: dump it/)
  })
)

it.live("rejects a directory that holds something else", () =>
  Effect.gen(function* () {
    const dataDir = directory()
    mkdirSync(join(dataDir, "postgres"))
    assert.match(yield* failure(dataDir), /exists and holds no PostgreSQL data: move it away/)
    const file = join(directory(), "file")
    writeFileSync(file, "")
    assert.match(
      yield* failure(join(file, "data")),
      /can't be used .*: let Spillway write there, or set SPILLWAY_DATA_DIR/
    )
  })
)

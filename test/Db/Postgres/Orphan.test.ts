/** PostgreSQL processes that a killed server has left behind. */
import { chownSync, statSync, writeFileSync } from "node:fs"
import { spawn } from "node:child_process"
import { join } from "node:path"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { children, copy, count, failure, gone, isRunning, pidIn, program, start } from "../support/Embedded.ts"
import { until } from "../support/Fixture.ts"
import { childrenOf } from "../support/Processes.ts"

it.live("stops the PostgreSQL of a server that was killed with its watchdog at the next start", () =>
  Effect.gen(function* () {
    const dataDir = yield* copy
    const { child } = yield* program(dataDir)
    const pid = pidIn(dataDir)
    const watchdogs = childrenOf(child.pid).filter(({ name }) => name === "sh")
    assert.strictEqual(watchdogs.length, 1)
    for (const watchdog of watchdogs) process.kill(watchdog.pid, "SIGKILL")
    child.kill("SIGKILL")
    yield* until(
      Effect.sync(() => child.signalCode),
      (signal) => signal !== null
    )
    assert.isTrue(isRunning(pid))
    yield* Effect.scoped(Effect.flatMap(start(dataDir), count))
    assert.isFalse(isRunning(pid))
  })
)

it.live("leaves another server's PostgreSQL running, and names that server", () =>
  Effect.gen(function* () {
    const dataDir = yield* copy
    const { child } = yield* program(dataDir)
    const pid = pidIn(dataDir)
    assert.include(yield* failure(dataDir), `Another Spillway (process ${child.pid}) uses `)
    assert.isTrue(isRunning(pid))
    child.kill("SIGTERM")
    yield* gone(pid)
  })
)

it.live("starts when the lock file names an unrelated process, and leaves that process alone", () =>
  Effect.gen(function* () {
    const dataDir = yield* copy
    const stranger = spawn("sleep", ["60"], { stdio: "ignore" })
    children.add(stranger)
    const data = join(dataDir, "postgres", "data")
    const lines = [stranger.pid, data, 1, 5432, join(dataDir, "postgres", "run"), "", "  1 1", "ready   ", ""]
    writeFileSync(join(data, "postmaster.pid"), lines.join("\n"))
    const owner = statSync(data)
    chownSync(join(data, "postmaster.pid"), owner.uid, owner.gid)
    yield* Effect.scoped(Effect.flatMap(start(dataDir), count))
    assert.strictEqual(stranger.exitCode ?? stranger.signalCode, null)
    stranger.kill()
  })
)

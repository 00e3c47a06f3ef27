/** The user that PostgreSQL runs as. */
import { chmodSync, readFileSync, statSync } from "node:fs"
import { execFileSync } from "node:child_process"
import { dirname, join } from "node:path"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { asRoot, copy, count, directory, pidIn, program, start } from "../support/Embedded.ts"

/** Whether another user can reach this file: a clone in /root has PostgreSQL's programs where only root may enter. */
const isOpen = (path: string): boolean => path === "/" || ((statSync(path).mode & 0o001) !== 0 && isOpen(dirname(path)))

it.live.skipIf(!asRoot)(
  "runs PostgreSQL as another user when the server is root, also in a directory only root can enter",
  () =>
    Effect.gen(function* () {
      const closed = directory()
      const inside = join(closed, "data")
      execFileSync("cp", ["-a", yield* copy, inside])
      chmodSync(closed, 0o700)
      for (const dataDir of [yield* copy, inside])
        yield* Effect.scoped(
          Effect.gen(function* () {
            assert.strictEqual(yield* count(yield* start(dataDir)), 0)
            assert.strictEqual(statSync(`/proc/${pidIn(dataDir)}`).uid, 65_534)
            const status = readFileSync(`/proc/${pidIn(dataDir)}/status`, "utf8")
            const needsPrivilege = dataDir === inside || !isOpen(import.meta.dirname)
            assert.match(status, needsPrivilege ? /^CapEff:\s0{15}4$/m : /^CapEff:\s0{16}$/m)
          })
        )
    })
)

it.live.skipIf(!asRoot)("names the directory that it lacks the privilege to enter", () =>
  Effect.gen(function* () {
    const closed = directory()
    chmodSync(closed, 0o700)
    const { line } = yield* program(join(closed, "data"), [
      "setpriv",
      "--bounding-set=-dac_read_search,-dac_override",
      "--inh-caps=-dac_read_search,-dac_override"
    ])
    assert.include(
      line,
      `user 65534, which it runs as, can't enter ${closed}: allow others to traverse it (chmod o+x ${closed})`
    )
  })
)

/** `src/Recording/Capture`: what a device sends is played once and in order, whatever happens to its connections and its node. */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { type Chances, simulate } from "../support/Simulation.ts"
import { seed } from "../../support/Seed.ts"

const rounds = 2
const messages = 150

const calm: Chances = {
  kill: 0.02,
  disconnect: 0.02,
  commit: 0.3,
  store: 0.3,
  retain: 0.5,
  enterUnloaded: 0,
  loadLater: 0,
  setClock: 0.005
}
const cases: ReadonlyArray<readonly [string, Chances]> = [
  ["now and then", calm],
  ["again and again", { ...calm, kill: 0.08, disconnect: 0.06, commit: 0.15 }],
  ["while its clock is set again and again", { ...calm, kill: 0.03, disconnect: 0.05, setClock: 0.1 }],
  ["before the database answers", { ...calm, kill: 0.05, disconnect: 0.05, enterUnloaded: 0.5, loadLater: 0.2 }]
]

for (const [when, chances] of cases)
  it.live(`records all audio once when connections break and the node is killed ${when}`, () =>
    Effect.gen(function* () {
      for (let round = 0; round < rounds; round++) {
        const { different, events } = yield* simulate({ seed: seed + round, chances, messages })
        assert.deepStrictEqual(different, [], events.join("\n"))
      }
    })
  )

/** What tombstones promise, wherever they are kept. */
import { assert, layer as block } from "@effect/vitest"
import { Duration, Effect, Option } from "effect"
import type { Layer } from "effect"
import { type DoomedObject, Tombstones } from "../../src/Deletion/Tombstones.ts"

const hour = Duration.hours(1)
const object = (key: string, uid = "u", generation = "1"): DoomedObject => ({ key, uid, generation })
const schedule = (objects: ReadonlyArray<DoomedObject>, after = Duration.zero) =>
  Effect.flatMap(Tombstones, (tombstones) => tombstones.schedule(objects, after, Effect.void))
const claimed = Effect.flatMap(Tombstones, (tombstones) => tombstones.claim(500))

/** Fails everything that is due. */
const failAll = (error: string) =>
  Effect.gen(function* () {
    const tombstones = yield* Tombstones
    const { rows, token } = yield* tombstones.claim(500)
    return yield* tombstones.fail(
      token,
      rows.map(({ id }) => ({ id, error }))
    )
  })

const listed = (state: "pending" | "dead", uid?: string) =>
  Effect.gen(function* () {
    const tombstones = yield* Tombstones
    const pages: Array<Array<string>> = []
    let after: string | undefined
    do {
      const page: { tombstones: ReadonlyArray<{ key: string }>; next: string | undefined } = yield* tombstones.list({
        state,
        uid,
        after,
        limit: 2
      })
      pages.push(page.tombstones.map(({ key }) => key))
      after = page.next
    } while (after !== undefined)
    return pages
  })

/** `elapse` lets an hour pass, or makes everything that is pending due. */
export const suite = <R>(
  name: string,
  layer: Layer.Layer<Tombstones | R, unknown>,
  elapse: Effect.Effect<unknown, unknown, R>
) =>
  block(layer, { excludeTestServices: true })(name, (it) => {
    it.effect("gives an object one tombstone, whose time the latest call sets", () =>
      Effect.gen(function* () {
        const tombstones = yield* Tombstones
        yield* schedule([object("again"), object("again"), object("again", "u", "2")], hour)
        assert.deepStrictEqual((yield* claimed).rows, [])
        yield* schedule([object("again")])
        const { rows, token } = yield* claimed
        assert.deepStrictEqual(
          rows.map(({ columns }) => columns),
          [object("again")]
        )
        yield* schedule([object("again")], hour)
        assert.strictEqual(
          yield* tombstones.complete(token, [rows[0]?.id ?? ""]),
          0,
          "it was scheduled again meanwhile"
        )
        assert.strictEqual(yield* tombstones.cancel([object("again"), object("again", "u", "2"), object("never")]), 2)
      })
    )

    it.effect("cancels what is not being deleted, and nothing else", () =>
      Effect.gen(function* () {
        const tombstones = yield* Tombstones
        yield* schedule([object("begun")])
        const { rows, token } = yield* claimed
        const id = rows[0]?.id ?? ""
        assert.strictEqual(yield* tombstones.cancel([object("begun")]), 0)
        assert.isFalse(yield* tombstones.cancelById(id))
        assert.isFalse(yield* tombstones.retry(id))
        yield* tombstones.fail(token, [{ id, error: "no" }])
        assert.isTrue(yield* tombstones.retry(id))
        assert.strictEqual((yield* claimed).rows[0]?.attempts, 0)
        yield* schedule([object("begun")], hour)
        assert.isTrue(yield* tombstones.cancelById(id))
        assert.isFalse(yield* tombstones.cancelById(id))
        assert.isFalse(yield* tombstones.retry("0"))
      })
    )

    it.effect("lists pending and dead ones by time in pages, also those of one user", () =>
      Effect.gen(function* () {
        const tombstones = yield* Tombstones
        yield* schedule([object("dead")])
        for (let n = 1; n < 20; n++) {
          yield* failAll(`failure ${n}`)
          yield* elapse
        }
        assert.deepStrictEqual(yield* failAll("the last"), { retried: 0, dead: 1 })
        for (const [key, uid, minutes] of [
          ["c", "ada", 30],
          ["a", "ada", 10],
          ["e", "grace", 50],
          ["b", "grace", 20],
          ["d", "ada", 40]
        ] as const)
          yield* schedule([object(key, uid)], Duration.minutes(minutes))
        assert.deepStrictEqual(yield* listed("pending"), [["a", "b"], ["c", "d"], ["e"]])
        assert.deepStrictEqual(yield* listed("pending", "ada"), [["a", "c"], ["d"]])
        assert.deepStrictEqual(yield* listed("dead"), [["dead"]])
        assert.deepStrictEqual(yield* listed("dead", "ada"), [[]])
        const [dead] = (yield* tombstones.list({ state: "dead", uid: "u", limit: 10 })).tombstones
        assert.deepStrictEqual([dead?.attempts, dead?.lastError, dead?.state], [20, "the last", "dead"])
        const { dead: deadCount, due, oldestDue, pending } = yield* tombstones.backlog
        assert.deepStrictEqual([pending, due, Duration.toMillis(oldestDue), deadCount], [5, 0, 0, 1])
        assert.isTrue(yield* tombstones.retry(dead?.id ?? ""))
        assert.strictEqual((yield* claimed).rows[0]?.columns.key, "dead")
        const next = Duration.toMinutes(Option.getOrThrow(yield* tombstones.nextDue))
        assert.isBelow(next, 1, "the lease of the one that was claimed ends first")
      })
    )

    it.effect("lists each of many that are due at the same time once, in the order of their ids", () =>
      Effect.gen(function* () {
        const keys = Array.from({ length: 12 }, (_, n) => `same/${String(n).padStart(2, "0")}`)
        yield* schedule(
          keys.map((key) => object(key, "same")),
          Duration.hours(1)
        )
        assert.deepStrictEqual((yield* listed("pending", "same")).flat(), keys)
      })
    )

    it.effect("are removed by prefix, or hastened where their objects may be about to be made", () =>
      Effect.gen(function* () {
        const tombstones = yield* Tombstones
        const [made, later, soon] = [object("p/a", "p"), object("p/b", "p", ""), object("p/c", "p", "")]
        yield* schedule([made, later, object("p-other", "p")], Duration.hours(5))
        yield* schedule([soon], Duration.minutes(10))
        assert.strictEqual(yield* tombstones.removeUnder("p/", 500), 2)
        assert.strictEqual(yield* tombstones.removeUnder("p/", 500), 0)
        const left = (yield* tombstones.list({ state: "pending", uid: "p", limit: 10 })).tombstones
        assert.deepStrictEqual(
          left.map(({ at, createdAt, key }) => [key, Math.round((at.getTime() - createdAt.getTime()) / 60_000)]),
          [
            ["p/c", 10],
            ["p/b", 60],
            ["p-other", 300]
          ]
        )
      })
    )
  })

/** Runs `spillway gc`: a dry run that writes a report, or the deletion of what a report lists. */
import { DateTime, Duration, Effect, Option, Stream } from "effect"
import { Orphans, type OrphansPage } from "../../Recording.ts"
import { CliConfig } from "../CliConfig.ts"
import * as Format from "../Format.ts"
import * as Outages from "./Outages.ts"
import { Screen } from "../Screen.ts"
import * as GcReport from "./GcReport.ts"

/** A report is used for this long after its dry run has ended. */
const reportLifetime = Duration.hours(1)

/** Orphans that are compared with the rows once more, and then removed, at once. */
const batch = 100

/** Progress by an estimate stops here, because the end may be later. */
const almost = 0.99

const size = (bytes: number) => (bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(1)} GB`)

const linesOf = ({ damaged, missing, orphans }: OrphansPage): ReadonlyArray<GcReport.Line> => [
  ...orphans.map(({ createdAt, generation, key, size }) => ({
    _tag: "orphan" as const,
    key,
    generation,
    bytes: size,
    created_at: DateTime.fromDateUnsafe(createdAt)
  })),
  ...missing.map((row) => ({ _tag: "missing" as const, ...row })),
  ...damaged.map((object) => ({ _tag: "damaged" as const, ...object }))
]

const summary = (end: GcReport.Totals, age: Duration.Duration) => [
  `${Format.counted(end.objects, "object")}, ${Format.counted(end.rows, "row")} of chunks`,
  `${Format.counted(end.orphans, "orphan")}, ${size(end.orphan_bytes)}: chunks without a row, older than ${Duration.format(age)}`,
  `${Format.counted(end.missing, "row")} without an object: this audio can't be read`,
  ...(end.damaged > 0 ? [`${Format.counted(end.damaged, "object")} damaged, left alone`] : []),
  ...(end.young > 0
    ? [`${Format.counted(end.young, "younger chunk")} without a row, which may still be committed`]
    : []),
  ...(end.other > 0 ? [`${Format.counted(end.other, "object")} other than chunks, left alone`] : []),
  ...(end.foreign > 0 ? [`${Format.counted(end.foreign, "object")} with foreign names, left alone`] : [])
]

/** Compares the store and the database, deletes nothing, and writes what it finds to `path`. */
export const dryRun = Effect.fnUntraced(
  function* (path: string) {
    const { age, estimate, page, place } = yield* Orphans
    const config = yield* CliConfig
    const screen = yield* Screen
    const total = { objects: 0, rows: 0, orphans: 0, orphan_bytes: 0, missing: 0, damaged: 0 }
    const left = { young: 0, other: 0, foreign: 0 }
    const retrying = <A, E, R>(work: Effect.Effect<A, E, R>) =>
      Outages.waitOut(work, () => total.objects + total.rows, config)

    const report = yield* GcReport.create(path)
    const expected = yield* retrying(estimate)
    yield* report.write([{ _tag: "begin", format: "spillway-gc-1", ...(yield* retrying(place)) }])
    const before = DateTime.subtractDuration(yield* DateTime.now, age)
    let after: string | undefined = ""
    while (after !== undefined) {
      const found: OrphansPage = yield* retrying(page(after, before))
      yield* report.write(linesOf(found))
      total.objects += found.objects
      total.rows += found.rows
      total.orphans += found.orphans.length
      total.orphan_bytes += found.orphans.reduce((sum, { size }) => sum + size, 0)
      total.missing += found.missing.length
      total.damaged += found.damaged.length
      left.young += found.young
      left.other += found.other
      left.foreign += found.foreign
      after = found.next
      const fraction = expected > 0 ? Math.min(almost, total.rows / expected) : undefined
      yield* screen.progress(
        fraction,
        `${Format.counted(total.objects, "object")}, ${Format.counted(total.orphans, "orphan")}`
      )
    }
    const end = { _tag: "end" as const, finished_at: yield* DateTime.now, ...total, ...left }
    yield* report.end(end)
    yield* Effect.forEach(summary(end, age), screen.result)
    yield* screen.result(`The report is ${path}. Nothing was deleted.`)
    if (end.orphans === 0) return
    yield* screen.result("Recordings that were never imported are orphans, too: import those that you want to keep.")
    yield* screen.result(`To delete the orphans, within an hour: npm run spillway -- gc --delete ${path}`)
  },
  (run) => Effect.scoped(run)
)

/** Why the report can't be used now. */
const reasonAgainst = Effect.fnUntraced(function* (
  { begin, end }: Effect.Success<ReturnType<typeof GcReport.check>>,
  place: { readonly store: string; readonly database: string }
) {
  const now = yield* DateTime.now
  const age = DateTime.distance(end.finished_at, now)
  if (Duration.toMillis(age) < 0) return Option.some("is from the future")
  if (Duration.isGreaterThan(age, reportLifetime)) return Option.some("is older than an hour")
  if (begin.store !== place.store) return Option.some(`is of ${begin.store}, and the server's store is ${place.store}`)
  if (begin.database !== place.database)
    return Option.some(`is of ${begin.database}, and the server's database is ${place.database}`)
  if (end.rows === 0 && end.orphans > 0)
    return Option.some(
      "found no row of a chunk, so it was probably made with another database than that of the recordings"
    )
  return Option.none<string>()
})

/** Removes the orphans that the report lists, except those that have a row by now. It can be repeated. */
export const removeAll = Effect.fnUntraced(function* (path: string) {
  const { place, remove } = yield* Orphans
  const config = yield* CliConfig
  const screen = yield* Screen
  let done = 0
  let removed = 0
  const retrying = <A, E, R>(work: Effect.Effect<A, E, R>) => Outages.waitOut(work, () => done, config)
  const checked = yield* GcReport.check(path)
  const reason = yield* reasonAgainst(checked, yield* retrying(place))
  if (Option.isSome(reason)) return yield* new GcReport.ReportRejected({ path, reason: reason.value })
  const { orphans } = checked.end
  yield* GcReport.read(path).pipe(
    Stream.filter((line) => line._tag === "orphan"),
    Stream.grouped(batch),
    Stream.runForEach((some) =>
      Effect.gen(function* () {
        removed += yield* retrying(remove(some))
        done += some.length
        yield* screen.progress(done / orphans, `${Format.number(done)} of ${Format.counted(orphans, "orphan")}`)
      })
    )
  )
  yield* screen.result(`${Format.counted(removed, "orphan")} deleted.`)
  if (removed < done)
    yield* screen.result(`${Format.counted(done - removed, "orphan")} kept: a row refers to each by now.`)
})

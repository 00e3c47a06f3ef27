/**
 * Compares the store with the rows of chunks: objects without a row, and rows without an object. Both are read in order of
 * key, a page at a time.
 */
import { resolve } from "node:path"
import { Context, DateTime, Duration, Effect, Layer, Option } from "effect"
import type { DbError } from "../../Db.ts"
import { NodeConfig } from "../../NodeConfig.ts"
import { type ObjectHead, Storage, type StorageRefused, type StorageUnavailable } from "../../Storage.ts"
import * as ObjectName from "../Objects/ObjectName.ts"
import * as ObjectPages from "../Objects/ObjectPages.ts"
import { RecordingConfig } from "../RecordingConfig.ts"
import { type ObjectRow, ObjectRows } from "./ObjectRows.ts"

/** A chunk's object without a row, older than `age`. */
export type Orphan = Pick<ObjectHead, "key" | "generation" | "size" | "createdAt">

export interface OrphansPage {
  readonly orphans: ReadonlyArray<Orphan>
  /** Rows whose object is missing. */
  readonly missing: ReadonlyArray<ObjectRow>
  /** Objects that the store can't read. They have their row, or none. */
  readonly damaged: ReadonlyArray<{ readonly key: string; readonly reason: string }>
  readonly objects: number
  readonly rows: number
  /** Chunks without a row that are younger than `age`. */
  readonly young: number
  /** Artifacts, uploads and speaker samples, which have no row of a chunk. */
  readonly other: number
  /** Objects whose names this service does not write. */
  readonly foreign: number
  readonly next: string | undefined
}

type Failure = StorageUnavailable | StorageRefused | DbError

export class Orphans extends Context.Service<
  Orphans,
  {
    readonly age: Duration.Duration
    /** Names that tell the store and the database from others. */
    readonly place: Effect.Effect<{ readonly store: string; readonly database: string }, DbError>
    /** An estimate of the number of rows that all pages have. */
    readonly estimate: Effect.Effect<number, DbError>
    /** Objects and rows with later keys. Orphans are those created `before` this time. */
    page(after: string, before: DateTime.Utc): Effect.Effect<OrphansPage, Failure>
    /** Removes those of up to a few hundred orphans that still have no row, and returns how many. Repeating it is harmless. */
    remove(orphans: ReadonlyArray<Pick<Orphan, "key" | "generation">>): Effect.Effect<number, Failure>
  }
>()("spillway/Recording/Orphans/Orphans") {
  static readonly layerWith = (options: { readonly pageSize: number }) =>
    Layer.effect(
      Orphans,
      Effect.suspend(() => make(options))
    ).pipe(Layer.provide(ObjectRows.layer))
  static readonly layer = this.layerWith({ pageSize: 1_000 })
}

/** Removals at once. */
const concurrency = 8

const isOther = (key: string): boolean => {
  const [first, second, ...rest] = key.split("/")
  if (first === "merged" || first === "syncing") return rest.length === 2
  return second === "people_profiles" && rest.length === 2
}

const earlier = (a: string | undefined, b: string | undefined) =>
  a === undefined || (b !== undefined && b < a) ? b : a

const make = Effect.fnUntraced(function* ({ pageSize }: { readonly pageSize: number }) {
  const storage = yield* Storage
  const rows = yield* ObjectRows
  const { orphanAge } = yield* RecordingConfig
  const { dataDir } = yield* NodeConfig
  const store =
    storage.bucket === "disk" ? `the directory ${resolve(dataDir, "objects")}` : `the bucket ${storage.bucket}`

  const page = Effect.fn("Orphans.page")(function* (after: string, before: DateTime.Utc) {
    // Rows first: the object of a row is older than the row, so this listing has it.
    const found = yield* rows.after(after, pageSize)
    const listed = yield* ObjectPages.read(storage, "", after, pageSize)
    const lastRow = found.length < pageSize ? undefined : found.at(-1)?.key
    const next = earlier(lastRow, listed.next)
    const isWithin = ({ key }: { readonly key: string }) => next === undefined || key <= next
    const [objects, own] = [listed.objects.filter(isWithin), found.filter(isWithin)]
    const damaged = listed.damaged === undefined ? [] : [listed.damaged].filter(isWithin)

    const keys = new Set(own.map(({ key }) => key))
    const unknown = objects.filter(({ key }) => !keys.has(key))
    const chunks = unknown.filter(({ key }) => Option.isSome(ObjectName.parse(key)))
    const other = unknown.filter(({ key }) => isOther(key)).length
    const old = chunks.filter(({ createdAt }) => createdAt.getTime() < DateTime.toEpochMillis(before))
    const present = new Set([...objects, ...damaged].map(({ key }) => key))
    const absent = own.filter(({ key }) => !present.has(key))
    // Rows that were committed or deleted since.
    const known = yield* rows.known([...old, ...absent].map(({ key }) => key))
    return {
      orphans: old.filter(({ key }) => !known.has(key)),
      missing: absent.filter(({ key }) => known.has(key)),
      damaged,
      objects: objects.length + damaged.length,
      rows: own.length,
      young: chunks.length - old.length,
      other,
      foreign: unknown.length - chunks.length - other,
      next
    }
  })

  const remove = Effect.fn("Orphans.remove")(function* (orphans: ReadonlyArray<Pick<Orphan, "key" | "generation">>) {
    const known = yield* rows.known(orphans.map(({ key }) => key))
    const doomed = orphans.filter(({ key }) => !known.has(key) && Option.isSome(ObjectName.parse(key)))
    yield* Effect.forEach(doomed, ({ generation, key }) => storage.remove(key, { generation }), {
      concurrency,
      discard: true
    })
    return doomed.length
  })

  return Orphans.of({
    age: orphanAge,
    place: Effect.map(rows.database, (database) => ({ store, database: `the database ${database}` })),
    estimate: rows.estimate,
    page,
    remove
  })
})

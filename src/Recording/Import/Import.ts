/**
 * Indexes chunks that are in the store and not in the database, without copying them: exact spans from their metadata,
 * else the start of their name and the length of what they decode to. Doing it again changes nothing, and looks at
 * nothing that it knows.
 */
import { Context, Effect, Layer, Option } from "effect"
import type { DbError } from "../../Db.ts"
import { Storage, type StorageRefused, type StorageUnavailable } from "../../Storage.ts"
import { Protection } from "../../Encryption.ts"
import * as ImportLook from "./Inspection.ts"
import { ImportRows } from "../Catalog/ImportRows.ts"
import * as ObjectName from "../Catalog/ObjectName.ts"
import { RecordingConfig } from "../RecordingConfig.ts"

export interface Imported {
  /** New in the database. */
  readonly added: number
  /** There before. */
  readonly known: number
  /** New chunks of an odd number of bytes, the last of which is not heard. */
  readonly odd: number
  /** Of the added and the known, those that have no peaks: their waveform is empty. */
  readonly undrawn: number
  /** Chunks whose audio can't be had. */
  readonly skipped: ReadonlyArray<ImportLook.Skipped>
  /** Keys of what is not named as a chunk. */
  readonly ignored: ReadonlyArray<string>
  /** For `after`, to go on. */
  readonly next: Option.Option<string>
}

export class Import extends Context.Service<
  Import,
  {
    /** Where a user's chunks are looked for. */
    place(uid: string): { readonly bucket: string; readonly prefix: string }
    /**
     * One page of what the store has of a user. `sampleRate` is taken where no metadata tells it. With `waveforms` all
     * audio is read whose peaks are not known, also of chunks that are; otherwise only what has to be.
     */
    page(
      uid: string,
      options: ImportLook.Options & { readonly after: string }
    ): Effect.Effect<Imported, StorageUnavailable | StorageRefused | DbError>
  }
>()("spillway/Recording/Import/Import") {
  static readonly layerNoDeps = Layer.effect(
    Import,
    Effect.suspend(() => make)
  )
  static readonly layer = this.layerNoDeps.pipe(Layer.provide(ImportRows.layer))
}

/** Objects of a page: fewer when all of them are read, so that what was done is kept every now and then. */
const pageSize = { named: 1_000, read: 100 }

const make = Effect.gen(function* () {
  const config = yield* RecordingConfig
  const storage = yield* Storage
  const rows = yield* ImportRows
  const look = ImportLook.make(storage, yield* Protection, config.decodedBytes)

  /** A store may refuse to list an object that is damaged: then the ones before it are listed alone, and it is skipped. */
  const list = Effect.fnUntraced(function* (prefix: string, after: string, limit: number) {
    const page = (limit: number) => Effect.result(storage.list(prefix, { after, limit }))
    const many = yield* page(limit)
    const found = many._tag === "Failure" && many.failure._tag === "StorageRefused" ? yield* page(1) : many
    if (found._tag === "Success") return { ...found.success, damaged: [] }
    const { failure } = found
    const isObject = failure._tag === "StorageRefused" && failure.key.startsWith(prefix) && failure.key !== prefix
    if (!isObject) return yield* failure
    const damaged = [{ key: failure.key, why: "not given by the store" as const, reason: failure.reason }]
    return { objects: [], next: failure.key, damaged }
  })

  return Import.of({
    place: (uid) => ({ bucket: storage.bucket, prefix: ObjectName.prefixOf(uid) }),
    page: Effect.fn("Import.page")(function* (uid, { after, ...options }) {
      const limit = options.waveforms ? pageSize.read : pageSize.named
      const { damaged, next, objects } = yield* list(ObjectName.prefixOf(uid), after, limit)
      const named = objects.map((head) => ({
        head,
        name: Option.getOrUndefined(Option.filter(ObjectName.parse(head.key), (name) => name.uid === uid))
      }))
      const knownRows = yield* rows.known(
        uid,
        named.flatMap(({ head, name }) => (name === undefined ? [] : [{ key: head.key, ...name }]))
      )
      const looks = yield* Effect.forEach(
        named,
        ({ head, name }) => look(head, name, knownRows.get(head.key), options),
        { concurrency: config.importWindow }
      )
      const fresh = looks.flatMap(({ added }) => (added === undefined ? [] : [added]))
      const known = looks.flatMap(({ known, peaks }) => (known === undefined ? [] : [{ ...known, peaks }]))
      const added = yield* rows.insert(uid, fresh)
      yield* rows.addPeaks(uid, known)
      return {
        added,
        known: known.length + fresh.length - added,
        odd: looks.filter(({ odd }) => odd === true).length,
        undrawn:
          fresh.filter(({ peaks }) => peaks === undefined).length +
          known.filter(({ hasPeaks, peaks }) => !hasPeaks && peaks === undefined).length,
        skipped: [...looks.flatMap(({ skipped }) => (skipped === undefined ? [] : [skipped])), ...damaged],
        ignored: looks.flatMap(({ ignored }) => (ignored === undefined ? [] : [ignored])),
        next: Option.fromNullishOr(next)
      }
    })
  })
})

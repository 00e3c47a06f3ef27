/** Indexes stored chunks that the database lacks. Spans come from metadata, else from name and decoded length. Idempotent. */
import { Context, Effect, Layer, Option } from "effect"
import type { DbError } from "../../Db.ts"
import { Storage, type StorageRefused, type StorageUnavailable } from "../../Storage.ts"
import { Protection } from "../../Encryption.ts"
import { Opus } from "../../Opus.ts"
import * as Inspection from "./Inspection.ts"
import { ImportRows } from "../Catalog/ImportRows.ts"
import * as ObjectName from "../Objects/ObjectName.ts"
import * as ObjectPages from "../Objects/ObjectPages.ts"
import { RecordingConfig } from "../RecordingConfig.ts"

export interface Imported {
  readonly added: number
  readonly known: number
  /** New chunks with an odd number of bytes; the last byte is ignored. */
  readonly odd: number
  /** Added and known chunks without peaks; their waveform is empty. */
  readonly undrawn: number
  readonly skipped: ReadonlyArray<Inspection.Skipped>
  /** Keys of objects that are not named as chunks. */
  readonly ignored: ReadonlyArray<string>
  readonly next: Option.Option<string>
}

export class Import extends Context.Service<
  Import,
  {
    place(uid: string): { readonly bucket: string; readonly prefix: string }
    /** Imports one page. `sampleRate` is the default. `waveforms`: reads all audio without peaks, not only of unknown length. */
    page(
      uid: string,
      options: Inspection.Options & { readonly after: string }
    ): Effect.Effect<Imported, StorageUnavailable | StorageRefused | DbError>
  }
>()("spillway/Recording/Import/Import") {
  static readonly layerNoDeps = Layer.effect(
    Import,
    Effect.suspend(() => make)
  )
  static readonly layer = this.layerNoDeps.pipe(Layer.provide([ImportRows.layer, Opus.layer]))
}

/** Objects per page: fewer when all are read, so that progress is committed regularly. */
const pageSize = { named: 1_000, read: 100 }

const make = Effect.gen(function* () {
  const config = yield* RecordingConfig
  const storage = yield* Storage
  const rows = yield* ImportRows
  const inspect = Inspection.make(storage, yield* Protection, yield* Opus, config.decodedBytes)

  return Import.of({
    place: (uid) => ({ bucket: storage.bucket, prefix: ObjectName.prefixOf(uid) }),
    page: Effect.fn("Import.page")(function* (uid, { after, ...options }) {
      const knownAt = yield* rows.knownAt
      const limit = options.waveforms ? pageSize.read : pageSize.named
      const { damaged, next, objects } = yield* ObjectPages.read(storage, ObjectName.prefixOf(uid), after, limit)
      const named = objects.map((head) => ({
        head,
        name: Option.getOrUndefined(Option.filter(ObjectName.parse(head.key), (name) => name.uid === uid))
      }))
      const knownRows = yield* rows.known(
        uid,
        named.flatMap(({ head, name }) =>
          name === undefined
            ? []
            : [{ key: head.key, conversation: name.conversation, start: Inspection.startOf(head, name) }]
        )
      )
      const inspected = yield* Effect.forEach(
        named,
        ({ head, name }) => inspect(head, name, knownRows.get(head.key), options),
        { concurrency: config.importWindow }
      )
      const fresh = inspected.flatMap(({ added }) => (added === undefined ? [] : [added]))
      const known = inspected.flatMap(({ known, peaks }) => (known === undefined ? [] : [{ ...known, peaks }]))
      const { added, purged } = yield* rows.insert(uid, fresh, knownAt)
      const deleted = purged.map((key) => ({ key, why: "deleted" as const, reason: "its conversation is deleted" }))
      yield* rows.addPeaks(uid, known)
      return {
        added,
        known: known.length + fresh.length - added - purged.length,
        odd: inspected.filter(({ odd }) => odd === true).length,
        undrawn:
          fresh.filter(({ peaks }) => peaks === undefined).length +
          known.filter(({ hasPeaks, peaks }) => !hasPeaks && peaks === undefined).length,
        skipped: [
          ...inspected.flatMap(({ skipped }) => (skipped === undefined ? [] : [skipped])),
          ...(damaged === undefined ? [] : [{ ...damaged, why: "not readable in the store" as const }]),
          ...deleted
        ],
        ignored: inspected.flatMap(({ ignored }) => (ignored === undefined ? [] : [ignored])),
        next: Option.fromNullishOr(next)
      }
    })
  })
})

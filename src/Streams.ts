/** Live streams, and their readers. */
import { Context, Effect, Layer, Option } from "effect"
import { isAdministrator, type Principal } from "./Auth.ts"
import type { DbError } from "./Db.ts"
import type { Stream, StreamFor } from "./Streams/Stream.ts"
import { StreamRows } from "./Streams/StreamRows.ts"

export type { Stream } from "./Streams/Stream.ts"
export { topic } from "./Streams/StreamRows.ts"

/** Whether a user may read a private stream that is not its own. */
type Admits = (stream: Stream, uid: string) => Effect.Effect<boolean, DbError>

export class Streams extends Context.Service<
  Streams,
  Pick<StreamRows["Service"], "create" | "list" | "update" | "remove" | "rotateKey"> & {
    /** The stream, and what the principal, or a visitor without a key, is to it. None if it may not read the stream. */
    findFor(slug: string, principal: Principal["Service"] | undefined): Effect.Effect<Option.Option<StreamFor>, DbError>
    /** Adds readers to private streams: their moderators. */
    admit(admits: Admits): Effect.Effect<void>
  }
>()("spillway/Streams") {
  static readonly layerNoDeps = Layer.effect(
    Streams,
    Effect.suspend(() => make)
  )
  static readonly layer = this.layerNoDeps.pipe(Layer.provide(StreamRows.layer))
}

const make = Effect.gen(function* () {
  const rows = yield* StreamRows
  const readers: Array<Admits> = []

  const isAdmitted = (stream: Stream, uid: string) =>
    Effect.map(
      Effect.findFirst(readers, (admits) => admits(stream, uid)),
      Option.isSome
    )

  return Streams.of({
    create: rows.create,
    list: rows.list,
    update: rows.update,
    remove: rows.remove,
    rotateKey: rows.rotateKey,
    findFor: Effect.fn("Streams.findFor")(function* (slug, principal) {
      const found = yield* rows.find(slug)
      if (Option.isNone(found)) return Option.none()
      const stream = found.value
      if (principal?.uid === stream.uid) return Option.some({ stream, role: "owner" })
      if (principal !== undefined && isAdministrator(principal)) return Option.some({ stream, role: "admin" })
      if (stream.visibility !== "private") return Option.some({ stream, role: "reader" })
      if (principal === undefined || !(yield* isAdmitted(stream, principal.uid))) return Option.none()
      return Option.some({ stream, role: "reader" })
    }),
    admit: (admits) => Effect.sync(() => void readers.push(admits))
  })
})

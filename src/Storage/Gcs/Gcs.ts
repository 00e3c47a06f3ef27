/** What the parts of `GcsStorage` share: where they ask, within which limits, and requests for one object. */
import { Effect, Option } from "effect"
import type { GcsConfig } from "./GcsConfig.ts"
import { ObjectNotFound } from "../../Storage.ts"
import type { GcsFault } from "./Fault.ts"
import { translate } from "./Fault.ts"
import type { GcsHttp } from "./Http.ts"
import * as GcsObject from "./Object.ts"
import * as GcsPolicy from "./Policy.ts"
import type * as Rules from "../Rules.ts"

export interface Gcs {
  readonly bucket: string
  readonly config: GcsConfig["Service"]
  readonly http: GcsHttp
  /** So many objects at a time. */
  readonly window: number
}

/** `/storage/v1/b/…/o`. */
export function objects({ bucket }: Gcs): string {
  return `/storage/v1/b/${bucket}/o`
}

export function path(gcs: Gcs, key: string): string {
  return `${objects(gcs)}/${encodeURIComponent(key)}`
}

/** None for an answer of one of these statuses. */
export function unless(...statuses: ReadonlyArray<number>) {
  return <A, R>(effect: Effect.Effect<A, GcsFault, R>): Effect.Effect<Option.Option<A>, GcsFault, R> =>
    Effect.catchTag(Effect.asSome(effect), "GcsFault", (fault) =>
      fault.status !== undefined && statuses.includes(fault.status) ? Effect.succeedNone : Effect.fail(fault)
    )
}

/** One attempt; none when there is no such object. */
export function look(gcs: Gcs, key: string): Effect.Effect<Option.Option<GcsObject.GcsObject>, GcsFault> {
  return gcs.http
    .text({ method: "GET", path: `${path(gcs, key)}?fields=${GcsObject.fields}` })
    .pipe(Effect.flatMap(GcsObject.object), unless(404))
}

/** One attempt; nothing happens to an object of another generation. */
export function remove(gcs: Gcs, key: string, generation: string): Effect.Effect<void, GcsFault> {
  return gcs.http
    .text({ method: "DELETE", path: `${path(gcs, key)}?ifGenerationMatch=${generation}` })
    .pipe(unless(404, 412), Effect.asVoid)
}

export function head(gcs: Gcs, at: Rules.At) {
  return Effect.flatMap(
    Effect.mapError(GcsPolicy.retry(gcs.config, look(gcs, at.key)), translate(at)),
    Option.match({ onNone: () => new ObjectNotFound(at), onSome: (found) => Effect.succeed(found.head) })
  )
}

/** Makes an object from others inside the store, in a tree of composes, and proves its bytes by the checksums of its parts. */
import { Effect, Schema } from "effect"
import type { Saturated, StorageBulkheads } from "../Bulkhead.ts"
import { Crc32c, type NewObjectHead, type ObjectHead, type Storage, type StorageError } from "../Storage.ts"
import type { DbError } from "../Db.ts"

/** Sources of one compose: what Google Cloud Storage accepts. */
const maxSources = 32

/** Longer silence is composed of several of these. */
const maxSilence = 1024 * 1024

const zeros = new Uint8Array(maxSilence)

/** An object, or what several composed ones contain. */
export interface Part {
  readonly key: string
  readonly size: number
  readonly crc32c: number
}

/** The store's object does not have the bytes of its sources. */
export class Miscomposed extends Schema.TaggedError<Miscomposed>()("Miscomposed", { key: Schema.String }) {
  override get message() {
    return `${this.key} has other bytes than the objects that it was composed of`
  }
}

export interface Composition {
  /** The next bytes of the target. */
  bytes(bytes: Uint8Array): Effect.Effect<void, Failure>
  silence(length: number): Effect.Effect<void, Failure>
  /** An object that exists. */
  object(part: Part): Effect.Effect<void, Failure>
  finish(target: NewObjectHead): Effect.Effect<ObjectHead, Failure>
}

export type Failure = StorageError | Saturated | DbError | Miscomposed

const joined = (parts: ReadonlyArray<Part>) =>
  parts.reduce((sum, { crc32c, size }) => ({ size: sum.size + size, crc32c: Crc32c.join(sum.crc32c, crc32c, size) }), {
    size: 0,
    crc32c: 0
  })

/** `announce` returns the key of a further temporary object, whose deletion it has scheduled. */
export function make(
  storage: Storage["Service"],
  write: StorageBulkheads["Service"]["write"],
  uid: string,
  announce: Effect.Effect<string, DbError>
): Composition {
  /** Each level has fewer than `maxSources` parts, which follow those of the levels above. */
  const levels: Array<Array<Part>> = []
  let longSilence: Part | undefined

  const composed = Effect.fnUntraced(function* (target: NewObjectHead, parts: ReadonlyArray<Part>) {
    const sources = parts.map(({ key }) => key)
    const head = yield* write.run(uid)(storage.compose(target, sources))
    const { crc32c, size } = joined(parts)
    return head.size === size && head.crc32c === crc32c ? head : yield* new Miscomposed({ key: target.key })
  })

  const temporary = { contentType: "application/octet-stream", metadata: {} }
  const group = (parts: ReadonlyArray<Part>) =>
    Effect.flatMap(announce, (key): Effect.Effect<Part, Failure> => composed({ key, ...temporary }, parts))
  const put = Effect.fnUntraced(function* (body: Uint8Array) {
    const key = yield* announce
    const made: Part = yield* write.run(uid)(storage.put({ key, body, ...temporary }))
    return made
  })

  const add = Effect.fnUntraced(function* (part: Part) {
    let next: Part | undefined = part
    for (let at = 0; next !== undefined; at++) {
      const level: Array<Part> = (levels[at] ??= [])
      level.push(next)
      next = level.length < maxSources ? undefined : yield* group(level.splice(0))
    }
  })

  const silent = Effect.fnUntraced(function* (length: number) {
    if (length < maxSilence) return yield* put(zeros.subarray(0, length))
    longSilence ??= yield* put(zeros)
    return longSilence
  })

  return {
    bytes: (bytes) => Effect.flatMap(put(bytes), add),
    silence: Effect.fnUntraced(function* (length) {
      for (let left = length; left > 0; left -= maxSilence) yield* add(yield* silent(Math.min(left, maxSilence)))
    }),
    object: add,
    finish: Effect.fnUntraced(function* (target) {
      let parts: ReadonlyArray<Part> = levels.toReversed().flat()
      while (parts.length > maxSources) {
        const rest = parts
        const starts = Array.from({ length: Math.ceil(rest.length / maxSources) }, (_, n) => n * maxSources)
        parts = yield* Effect.forEach(starts, (start) => group(rest.slice(start, start + maxSources)))
      }
      return yield* composed(target, parts)
    })
  }
}

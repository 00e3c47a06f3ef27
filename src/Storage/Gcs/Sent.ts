/** What every way to upload needs: bytes in pieces whose way is watched, and what the store has to say of them. */
import { Effect, Option } from "effect"
import { StorageRefused } from "../../Storage.ts"
import type { ObjectHead } from "../../Storage.ts"
import * as Gcs from "./Gcs.ts"
import { cut } from "./Fault.ts"
import type { GcsFault } from "./Fault.ts"
import type * as GcsObject from "./Object.ts"
import type * as GcsWatch from "./Watchdog.ts"
import * as Rules from "../Rules.ts"

/** Bytes that go to the socket at once; that they move is seen when the next ones are asked for. */
const pieceSize = 1_048_576

/** What was sent. */
export interface Sum {
  readonly size: number
  readonly crc32c: number
}

/** The object that a put made or found. None: other bytes are there. */
export type Outcome = Option.Option<ObjectHead>

export function wrongSize(at: Rules.At, size: number) {
  return new StorageRefused({ ...at, reason: `the body is not of ${size} bytes, as announced` })
}

function* pieces(parts: ReadonlyArray<Uint8Array>, moved: GcsWatch.Moved): Generator<Uint8Array> {
  for (const part of parts) {
    for (let at = 0; at < part.length; at += pieceSize) {
      moved()
      yield part.length <= pieceSize ? part : part.subarray(at, at + pieceSize)
    }
  }
  moved()
}

/** The parts, in pieces that tell when they move. */
export function sliced(parts: ReadonlyArray<Uint8Array>) {
  return (moved: GcsWatch.Moved) => pieces(parts, moved)
}

/** For a put that found an object in its way. */
export function existing(gcs: Gcs.Gcs, key: string, sum: Sum): Effect.Effect<Outcome, GcsFault> {
  return Effect.flatMap(
    Gcs.look(gcs, key),
    Option.match({
      onNone: () => Effect.fail(cut("an object was there and went")),
      onSome: ({ head }) => Effect.succeed(Rules.isSamePut(head, sum) ? Option.some(head) : Option.none())
    })
  )
}

/** For a put that made an object. Other bytes than were sent must not stay. */
export function checked(gcs: Gcs.Gcs, { head }: GcsObject.GcsObject, sum: Sum): Effect.Effect<Outcome, GcsFault> {
  return Rules.isSamePut(head, sum)
    ? Effect.succeedSome(head)
    : Effect.andThen(Gcs.remove(gcs, head.key, head.generation), Effect.fail(cut("the bytes changed on their way")))
}

/** The sum we declare is right, so a refusal because of it means that bytes changed on their way. */
export function damageIsTransient(fault: GcsFault): GcsFault {
  return fault.status === 400 && /crc32c/i.test(fault.reason) ? cut(fault.message) : fault
}

/** Peaks as they lie in a chunk's row: in the clear, or encrypted with the user's key if the chunk's audio is. */
import { Effect } from "effect"
import { Peaks } from "../../Audio.ts"
import { type NotSealed, type Protection, SealedRecords } from "../../Encryption.ts"
import * as ObjectName from "./ObjectName.ts"

/** At most one of them is there. */
export interface PeaksAtRest {
  readonly peaks: Uint8Array | null
  readonly sealedPeaks: Uint8Array | null
}

/** Bytes of the first record, which holds the pair of the whole. */
export const sealedPairBytes = SealedRecords.sealedSize(Peaks.pairBytes)

const none: PeaksAtRest = { peaks: null, sealedPeaks: null }

/** For the row of the object `key`. The pair of the whole is a record of its own, so that it can be read alone. */
export const toRow = Effect.fnUntraced(function* (
  { seal }: Protection["Service"],
  uid: string,
  key: string,
  peaks: Uint8Array | undefined
) {
  if (peaks === undefined) return none
  if (ObjectName.formatOf(key)?.sealed !== true) return { ...none, peaks }
  const whole = yield* seal(uid, peaks.subarray(0, Peaks.pairBytes))
  const tenths = yield* seal(uid, peaks.subarray(Peaks.pairBytes))
  return { ...none, sealedPeaks: Buffer.concat([whole, tenths]) }
})

/** `undefined` if there are none. */
export function fromRow(
  { open }: Protection["Service"],
  uid: string,
  { peaks, sealedPeaks }: PeaksAtRest
): Effect.Effect<Uint8Array | undefined, NotSealed> {
  return sealedPeaks === null ? Effect.succeed(peaks ?? undefined) : open(uid, sealedPeaks)
}

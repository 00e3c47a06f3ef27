/** Peaks as stored in a chunk's row, encrypted with the user's key if the chunk's audio is encrypted. */
import { Effect } from "effect"
import { Peaks } from "../../Audio.ts"
import { type DecryptionFailed, type Protection, EncryptedRecords } from "../../Encryption.ts"
import * as ObjectName from "../Objects/ObjectName.ts"

/** At most one is not null. */
export interface PeaksAtRest {
  readonly peaks: Uint8Array | null
  readonly sealedPeaks: Uint8Array | null
}

/** Size of the first encrypted record, which holds the pair of the whole chunk. */
export const encryptedPairBytes = EncryptedRecords.encryptedSize(Peaks.pairBytes)

const none: PeaksAtRest = { peaks: null, sealedPeaks: null }

/** The pair of the whole chunk is a separate record, so that it can be read alone. */
export const toRow = Effect.fnUntraced(function* (
  { encrypt }: Protection["Service"],
  uid: string,
  key: string,
  peaks: Uint8Array | undefined
) {
  if (peaks === undefined) return none
  if (ObjectName.formatOf(key)?.isEncrypted !== true) return { ...none, peaks }
  const whole = yield* encrypt(uid, peaks.subarray(0, Peaks.pairBytes))
  const tenths = yield* encrypt(uid, peaks.subarray(Peaks.pairBytes))
  return { ...none, sealedPeaks: Buffer.concat([whole, tenths]) }
})

export function fromRow(
  { decrypt }: Protection["Service"],
  uid: string,
  { peaks, sealedPeaks }: PeaksAtRest
): Effect.Effect<Uint8Array | undefined, DecryptionFailed> {
  return sealedPeaks === null ? Effect.succeed(peaks ?? undefined) : decrypt(uid, sealedPeaks)
}

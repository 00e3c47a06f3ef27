/** Users' keys, derived once and kept: to derive one takes longer than to decrypt a short record with it. */
import * as Cipher from "./Cipher.ts"

/** Of each secret, in their order. Of more than `bound` users, the one that was not asked for the longest is forgotten. */
export function make(secrets: ReadonlyArray<Uint8Array>, bound: number) {
  const known = new Map<string, ReadonlyArray<Cipher.Key>>()
  return {
    of: (uid: string): ReadonlyArray<Cipher.Key> => {
      const keys = known.get(uid) ?? secrets.map((secret) => Cipher.deriveKey(secret, uid))
      known.delete(uid)
      known.set(uid, keys)
      for (const oldest of known.keys()) {
        if (known.size <= bound) break
        known.delete(oldest)
      }
      return keys
    },
    size: () => known.size
  }
}

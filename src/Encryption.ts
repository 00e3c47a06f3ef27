/** Encryption at rest: sealed records of 64 KiB under a key for each user, derived from the master secrets. */
export { DecryptionFailed, Protection } from "./Encryption/Protection.ts"
export * as SealedRecords from "./Encryption/SealedRecords.ts"

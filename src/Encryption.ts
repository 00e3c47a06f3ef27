/** Encryption at rest: encrypted records of 64 KiB under a key for each user, derived from the master secrets. */
export { DecryptionFailed, Level, Protection } from "./Encryption/Protection.ts"
export * as EncryptedRecords from "./Encryption/EncryptedRecords.ts"

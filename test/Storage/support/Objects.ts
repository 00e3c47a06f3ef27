/** Objects for the tests of stores. */
import { Effect, Stream } from "effect"
import { Storage } from "../../../src/Storage.ts"
import type { NewObject } from "../../../src/Storage.ts"

export const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)

export const object = (key: string, body: NewObject["body"], metadata: NewObject["metadata"] = {}): NewObject => ({
  key,
  body,
  metadata,
  contentType: "application/octet-stream"
})

export const noise = (size: number): Uint8Array =>
  Uint8Array.from({ length: size }, (_, i) => (i * 2_654_435_761) >>> 13)

export const read = (key: string, range?: { readonly start: number; readonly end: number }) =>
  Effect.flatMap(Storage, (storage) => Stream.mkUint8Array(storage.get(key, range)))

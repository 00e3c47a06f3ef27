/** Every operation of the store, as the tests of its faults run them. */
import { Effect, Stream } from "effect"
import type { ByteRange, Storage } from "../../../src/Storage.ts"
import { noise } from "./TestGcs.ts"

type Store = Storage["Service"]

export const object = (key: string, body: Uint8Array) => ({ key, body, contentType: "a/b", metadata: { a: "1" } })
export const read = (storage: Store, key: string, range?: ByteRange) => Stream.mkUint8Array(storage.get(key, range))

/** Uploaded in one request. */
export const small = noise(100_000)
/** Uploaded in chunks. */
export const large = noise(3_500_000)

/** Each operation on `old` or on a new object, with the server's name of its request. */
export const operations: ReadonlyArray<
  readonly [operation: string, run: (storage: Store) => Effect.Effect<unknown, unknown>]
> = [
  ["multipart", (storage) => storage.put(object("new", small))],
  ["resumable", (storage) => storage.put(object("new", large))],
  ["chunk", (storage) => storage.put(object("new", large))],
  ["media", (storage) => read(storage, "old")],
  ["get", (storage) => storage.head("old")],
  ["list", (storage) => storage.list("")],
  ["patch", (storage) => storage.setMetadata("old", { b: "2" })],
  ["compose", (storage) => storage.compose({ key: "new", contentType: "a/b", metadata: {} }, ["old", "old"])],
  ["remove", (storage) => storage.remove("old")]
]

/** Waits for a state of the server, which runs in this process. */
export const until = (is: () => boolean) =>
  Effect.whileLoop({ while: () => !is(), body: () => Effect.sleep("1 millis"), step: () => {} })

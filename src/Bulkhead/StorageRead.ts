/** For whoever reads from the object store; the key is the uid. */
import { Context, Layer } from "effect"
import type { Bulkhead } from "./Bulkhead.ts"
import { makeNode } from "./NodeBulkhead.ts"

export class StorageRead extends Context.Service<StorageRead, Bulkhead>()("spillway/Bulkhead/StorageRead") {
  static readonly layer = Layer.effect(this, makeNode("storage.read", "storageRead"))
}

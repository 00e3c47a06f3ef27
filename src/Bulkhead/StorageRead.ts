/** Bounds concurrent reads from the object store; the key is the uid. */
import { Context, Layer } from "effect"
import type { Bulkhead } from "./Bulkhead.ts"
import * as NodeBulkhead from "./NodeBulkhead.ts"

export class StorageRead extends Context.Service<StorageRead, Bulkhead>()("spillway/Bulkhead/StorageRead") {
  static readonly layer = Layer.effect(this, NodeBulkhead.make("storage.read", "storageRead"))
}

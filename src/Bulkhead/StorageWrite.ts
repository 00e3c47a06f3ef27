/** Bounds concurrent writes to the object store and deletions from it; the key is the uid. */
import { Context, Layer } from "effect"
import type { Bulkhead } from "./Bulkhead.ts"
import * as NodeBulkhead from "./NodeBulkhead.ts"

export class StorageWrite extends Context.Service<StorageWrite, Bulkhead>()("spillway/Bulkhead/StorageWrite") {
  static readonly layer = Layer.effect(this, NodeBulkhead.make("storage.write", "storageWrite"))
}

/** For making artifacts, apart from what serves listeners; the key is the uid. */
import { Context, Layer } from "effect"
import type { Bulkhead } from "./Bulkhead.ts"
import * as NodeBulkhead from "./NodeBulkhead.ts"

export class PrecachePermits extends Context.Service<PrecachePermits, Bulkhead>()("spillway/Bulkhead/PrecachePermits") {
  static readonly layer = Layer.effect(this, NodeBulkhead.make("precache", "precache"))
}

/** Deletion on a real database, without a janitor and a store: other processes sweep. */
import { Layer } from "effect"
import { StorageBulkheads } from "../../../src/Bulkhead.ts"
import { BulkheadConfig } from "../../../src/Bulkhead/BulkheadConfig.ts"
import { Deletion } from "../../../src/Deletion.ts"
import * as MemoryStorage from "../../../src/Storage/MemoryStorage.ts"
import * as Postgres from "../../support/Postgres.ts"

const write = StorageBulkheads.layer.pipe(Layer.provide(BulkheadConfig.layer))

export const deletionOnly = Deletion.layer.pipe(Layer.provide([MemoryStorage.layer, write]))

export const layer = deletionOnly.pipe(Layer.provideMerge(Postgres.layer))

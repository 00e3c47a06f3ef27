/** Named bounds on concurrent work, with bounded queues that serve users in turn. */
export * as Bulkhead from "./Bulkhead/Bulkhead.ts"
export { BulkheadConfig } from "./Bulkhead/BulkheadConfig.ts"
export * as FairQueue from "./Bulkhead/FairQueue.ts"
export { inBackground, Priority } from "./Bulkhead/Priority.ts"
export { Saturated, whileSaturated } from "./Bulkhead/Saturated.ts"
export { NoSeat } from "./Bulkhead/Seats.ts"
export * as Seats from "./Bulkhead/Seats.ts"
export { StorageBulkheads } from "./Bulkhead/StorageBulkheads.ts"

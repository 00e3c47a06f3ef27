/** Named bounds on concurrent work, with bounded queues that serve users in turn. */
export { make } from "./Bulkhead/Bulkhead.ts"
export type { Bulkhead, Options, Stats } from "./Bulkhead/Bulkhead.ts"
export * as FairQueue from "./Bulkhead/FairQueue.ts"
export { NestedRun, Saturated } from "./Bulkhead/Saturated.ts"
export { NoSeat } from "./Bulkhead/Seats.ts"
export * as Seats from "./Bulkhead/Seats.ts"
export { StorageBulkheads } from "./Bulkhead/StorageBulkheads.ts"

/** Named bounds on concurrent work: fair between users, bounded in who may wait, visible. Only leaves hold permits. */
export { make } from "./Bulkhead/Bulkhead.ts"
export type { Bulkhead, Options, Stats } from "./Bulkhead/Bulkhead.ts"
export { PrecachePermits } from "./Bulkhead/PrecachePermits.ts"
export { NestedTake, Saturated } from "./Bulkhead/Saturated.ts"
export { NoSeat } from "./Bulkhead/Seats.ts"
export * as Seats from "./Bulkhead/Seats.ts"
export { StorageRead } from "./Bulkhead/StorageRead.ts"
export { StorageWrite } from "./Bulkhead/StorageWrite.ts"

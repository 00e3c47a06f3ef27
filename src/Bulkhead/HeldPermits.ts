/** Which permits the running work holds. Forked children have it from their parents, as they have all context. */
import { Context } from "effect"

/** One held permit, and the one that was held when it was taken. */
export interface HeldPermits {
  /** Its bulkhead, by identity. */
  readonly of: object
  readonly outer: HeldPermits | undefined
  /** A child that lives on after its parent let go of the permit holds nothing. */
  isReleased: boolean
}

export const HeldPermits = Context.Reference<HeldPermits | undefined>("spillway/Bulkhead/HeldPermits", {
  defaultValue: () => undefined
})

export function isHeldPermit(held: HeldPermits | undefined, of: object): boolean {
  for (let each = held; each !== undefined; each = each.outer) {
    if (each.of === of && !each.isReleased) return true
  }
  return false
}

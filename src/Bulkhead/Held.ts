/** Which permits the running work holds. Forked children have it from their parents, as they have all context. */
import { Context } from "effect"

/** One held permit, and the one that was held when it was taken. */
export interface Held {
  /** Its bulkhead, by identity. */
  readonly of: object
  readonly outer: Held | undefined
  /** A child that lives on after its parent let go of the permit holds nothing. */
  isReleased: boolean
}

export const Held = Context.Reference<Held | undefined>("spillway/Bulkhead/Held", { defaultValue: () => undefined })

export const isHeld = (held: Held | undefined, of: object): boolean => {
  for (let each = held; each !== undefined; each = each.outer) {
    if (each.of === of && !each.isReleased) return true
  }
  return false
}

/** Bodies of `/health/live` and `/health/ready`, with and without routes attached. */
import type { Status } from "../Readiness.ts"

export const paths = { live: "/health/live", ready: "/health/ready" } as const

export const live = { status: "live" }

/** The body of `/health/ready`. */
export function readiness({ degraded, failing }: Status) {
  return {
    ...(failing.length === 0 ? { status: "ready" } : { status: "unavailable", failing }),
    ...(degraded.length === 0 ? {} : { degraded })
  }
}

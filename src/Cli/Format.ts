/** How the commands print times, durations and counts. */
import { DateTime } from "effect"

/** `4:07`, `1:02:09`. */
export function clock(seconds: number): string {
  const whole = Math.round(seconds)
  const two = (n: number) => String(n).padStart(2, "0")
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60]
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`
}

/** `2026-01-31 14:05:09`, UTC. */
export function date(at: DateTime.Utc): string {
  return DateTime.formatIso(at).slice(0, 19).replace("T", " ")
}

const numbers = new Intl.NumberFormat("en")

/** `1,234`. */
export function number(count: number): string {
  return numbers.format(count)
}

/** `1 object`, `1,234 objects`. */
export function counted(count: number, noun: string): string {
  return `${number(count)} ${noun}${count === 1 ? "" : "s"}`
}

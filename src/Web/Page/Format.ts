/** Formats times, sizes and rates. */

const two = (value: number) => String(value).padStart(2, "0")

/** Durations this close below a whole second are rounded up. */
const nearlySeconds = 0.05

/** A position or duration: `1:02:03` or `2:03`. */
export function clock(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds + nearlySeconds))
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60]
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`
}

/** A duration: `1 h 2 min`, `2 min 3 s` or `3.4 s`. */
export function duration(seconds: number): string {
  if (seconds < 60) return `${seconds < 10 ? Math.round(seconds * 10) / 10 : Math.round(seconds)} s`
  const whole = Math.round(seconds)
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60]
  return hours > 0 ? `${hours} h ${minutes} min` : `${minutes} min ${rest} s`
}

const units = ["B", "KB", "MB", "GB", "TB"] as const

/** A size in decimal units: `12.3 MB`. */
export function bytes(value: number): string {
  const power = Math.min(units.length - 1, value < 1 ? 0 : Math.floor(Math.log10(value) / 3))
  const scaled = value / 1000 ** power
  return `${power === 0 || scaled >= 100 ? Math.round(scaled) : Math.round(scaled * 10) / 10} ${units[power]}`
}

export function count(value: number): string {
  return value.toLocaleString("en")
}

/** 24-hour times everywhere, so that charts and lists agree. */
const hourCycle = "h23"
const timeForm = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle })
const dateForm = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short", hourCycle })
const momentForm = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium", hourCycle })
const dayForm = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "long" })
const yearForm = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "long", year: "numeric" })

/** Local time: `12:21`. */
export function time(at: string | number): string {
  return timeForm.format(new Date(at))
}

export function date(iso: string): string {
  return dateForm.format(new Date(iso))
}

/** With seconds. */
export function moment(iso: string): string {
  return momentForm.format(new Date(iso))
}

/** `Today`, `Yesterday` or `20 November`, with the year unless it is the current one. */
export function day(iso: string): string {
  const then = new Date(iso)
  const today = new Date()
  const yesterday = new Date(today.getFullYear(), today.getMonth(), today.getDate() - 1)
  if (then.toDateString() === today.toDateString()) return "Today"
  if (then.toDateString() === yesterday.toDateString()) return "Yesterday"
  return (then.getFullYear() === today.getFullYear() ? dayForm : yearForm).format(then)
}

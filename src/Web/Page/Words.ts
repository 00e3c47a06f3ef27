/** Times, sizes and rates as people read them. */

const two = (value: number) => String(value).padStart(2, "0")

/** `1:02:03`, or `2:03`. */
export const clock = (seconds: number): string => {
  const whole = Math.max(0, Math.floor(seconds))
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60]
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`
}

/** `1 h 2 min`, `2 min 3 s` or `3.4 s`. */
export const duration = (seconds: number): string => {
  if (seconds < 60) return `${seconds < 10 ? Math.round(seconds * 10) / 10 : Math.round(seconds)} s`
  const whole = Math.round(seconds)
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60]
  return hours > 0 ? `${hours} h ${minutes} min` : `${minutes} min ${rest} s`
}

const units = ["B", "KB", "MB", "GB", "TB"] as const

/** `12.3 MB`. */
export const bytes = (value: number): string => {
  const power = Math.min(units.length - 1, value < 1 ? 0 : Math.floor(Math.log10(value) / 3))
  const scaled = value / 1000 ** power
  return `${power === 0 || scaled >= 100 ? Math.round(scaled) : Math.round(scaled * 10) / 10} ${units[power]}`
}

export const count = (value: number): string => value.toLocaleString("en")

const dateForm = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" })

export const date = (iso: string): string => dateForm.format(new Date(iso))

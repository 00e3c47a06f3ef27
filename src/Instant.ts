/** A point in time as users write it: a calendar day, or RFC 3339 with an offset. */
import { DateTime, Option, Schema } from "effect"

const form = /^(\d{4}-\d\d-\d\d)(?:T(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:\d\d))?$/

/** JavaScript parses 31 February as 3 March. */
const isInCalendar = (day: string): boolean =>
  Option.exists(DateTime.make(`${day}T00:00:00Z`), (at) => DateTime.formatIso(at).startsWith(day))

const Text = Schema.String.check(
  Schema.makeFilter(
    (text) => {
      const day = form.exec(text)?.[1]
      return day !== undefined && isInCalendar(day) && Option.isSome(DateTime.make(text))
    },
    { expected: "a date such as 2030-01-31 (its start, UTC) or 2030-01-31T09:30:00Z" }
  )
)

export const Instant = Text.pipe(Schema.decodeTo(Schema.DateTimeUtcFromString))

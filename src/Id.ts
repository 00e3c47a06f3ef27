/** Ids that clients choose. */
import { Schema } from "effect"

/** 1 to 128 characters that are safe in object names and URLs. */
export const Id = Schema.String.check(
  Schema.makeFilter((id) => /^[A-Za-z0-9._-]{1,128}$/.test(id) && id !== "." && id !== "..", {
    expected: "1 to 128 characters of A-Z a-z 0-9 . _ -, not . or .."
  })
)

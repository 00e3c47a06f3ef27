/** The ids that users choose. */
import { Schema } from "effect"

/** uid, conversation, job and person ids: 1–128 characters, safe in object names and URLs. */
export const Id = Schema.String.check(
  Schema.makeFilter((id) => /^[A-Za-z0-9._-]{1,128}$/.test(id) && id !== "." && id !== "..", {
    expected: "1 to 128 characters of A-Z a-z 0-9 . _ -, not . or .."
  })
)

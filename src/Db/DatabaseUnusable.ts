/** The database can't be used at all; the program can't start. */
import { Schema } from "effect"

/** One line for the operator: what is wrong, then what to do. Neither holds a secret. */
export class DatabaseUnusable extends Schema.TaggedError<DatabaseUnusable>()("DatabaseUnusable", {
  problem: Schema.String,
  remedy: Schema.String
}) {
  override get message() {
    return `${this.problem}: ${this.remedy}`
  }
}

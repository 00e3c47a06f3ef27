/** The disk store can't be opened: where, and what an operator does about it. */
import { Schema } from "effect"
import type { DiskFault } from "./Fault.ts"

export class DiskUnusable extends Schema.TaggedError<DiskUnusable>()("DiskUnusable", {
  path: Schema.String,
  code: Schema.String
}) {
  override get message() {
    return `Can't write to ${this.path} (${this.code}). Give this user the right to, or set SPILLWAY_DATA_DIR to another directory.`
  }
}

/** `path` unless the fault names another. */
export function unusable(path: string) {
  return ({ cause, code }: DiskFault): DiskUnusable => new DiskUnusable({ path: cause.path ?? path, code })
}

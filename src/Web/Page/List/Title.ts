/** Titles of conversations. Ids made by this page are a name and a time stamp. */
import type { Conversation } from "../Model.ts"
import { time } from "../Format.ts"

/** `name-2026-11-21T12.21.03-a1b2`. */
const stamped = /^(.+)-\d{4}-\d{2}-\d{2}T\d{2}\.\d{2}\.\d{2}(?:-[a-z0-9]+)?$/

export function titleOf({ id, started_at: started }: Pick<Conversation, "id" | "started_at">): string {
  const [, name] = stamped.exec(id) ?? []
  if (name === "recording") return started === null ? "Recording" : `Recording, ${time(started)}`
  return name ?? id
}

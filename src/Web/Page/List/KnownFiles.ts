/** The audio files of conversations that the page has seen: the latest from the list, earlier ones from loaded pages. */
import { find } from "./List.ts"
import type { AudioFile } from "../Model.ts"

/** Conversations whose earlier audio files are kept; beyond this, the one loaded first is dropped. */
const maxConversations = 20
const earlier = new Map<string, Map<string, AudioFile>>()

/** Ids of conversations are unique only among those of one user. */
const nameOf = (id: string): string => `${find(id)?.uid ?? ""}/${id}`

export function remember(conversation: string, files: ReadonlyArray<AudioFile>): void {
  const name = nameOf(conversation)
  const known = earlier.get(name) ?? new Map<string, AudioFile>()
  for (const file of files) known.set(file.id, file)
  earlier.set(name, known)
  const [oldest] = earlier.keys()
  if (earlier.size > maxConversations && oldest !== undefined) earlier.delete(oldest)
}

/** By start. */
export function knownFiles(conversation: string): ReadonlyArray<AudioFile> {
  const latest = find(conversation)?.audio_files ?? []
  const [first] = latest
  const before = [...(earlier.get(nameOf(conversation))?.values() ?? [])].filter(
    ({ started_at }) => first !== undefined && started_at < first.started_at
  )
  return [...before.sort((a, b) => (a.started_at < b.started_at ? -1 : 1)), ...latest]
}

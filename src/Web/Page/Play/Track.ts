/** What the player plays: an audio file of a conversation, and its neighbours there. */
import { knownFiles } from "../List/KnownFiles.ts"
import { find } from "../List/List.ts"
import type { AudioFile } from "../Model.ts"

export interface Track {
  readonly conversation: string
  readonly file: string
  readonly sampleRate: number
}

export function trackOf({ id }: { readonly id: string }, file: AudioFile): Track {
  return { conversation: id, file: file.id, sampleRate: file.sample_rate }
}

export function isSame(a: Track | undefined, b: Track): boolean {
  return a?.conversation === b.conversation && a.file === b.file
}

export function fileOf({ conversation, file }: Track): AudioFile | undefined {
  return knownFiles(conversation).find(({ id }) => id === file)
}

export function neighbour({ conversation, file }: Track, by: -1 | 1): AudioFile | undefined {
  const files = knownFiles(conversation)
  const at = files.findIndex(({ id }) => id === file)
  return at === -1 ? undefined : files[at + by]
}

/** Only the last audio file of a live conversation grows. */
export function isGrowing(track: Track): boolean {
  return find(track.conversation)?.live === true && neighbour(track, 1) === undefined
}

/** Where the store keeps what belongs to a conversation, or to an account. */
import type { Target } from "../Recording.ts"
import { roots } from "../Storage.ts"

/** Audio and artifacts of a conversation. Of an account also staged uploads and speaker samples. All end in `/`. */
export function of({ conversation, uid }: Target): ReadonlyArray<string> {
  if (conversation !== undefined) return [`chunks/${uid}/${conversation}/`, `merged/${uid}/${conversation}/`]
  // A user with such an id has no speaker samples: they would lie among the objects of others.
  const samples = roots.includes(uid) ? [] : [`${uid}/people_profiles/`]
  return [...roots.map((root) => `${root}/${uid}/`), ...samples]
}

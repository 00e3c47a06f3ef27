/** Which chunks that wait in the journal are offered to the store next: users in turn, the oldest of each first. Pure. */
import type { JournalChunk } from "../Journal/JournalChunk.ts"

/** Rounds that a chunk sits out at most, after the store refused it again and again. */
const longestPause = 32

/** By when they were sealed; what another process sealed comes first, by start. */
const byAge = (a: JournalChunk, b: JournalChunk) =>
  a.sealedAt - b.sealedAt || a.openedAt - b.openedAt || a.start - b.start

/** At most `limit` of those that are due in this round, and whether there are more. */
export function pick(chunks: Iterable<JournalChunk>, round: number, limit: number) {
  const users = new Map<string, Array<JournalChunk>>()
  for (const chunk of chunks) {
    if (chunk.state !== "waiting" || chunk.durable !== chunk.appended || chunk.dueRound > round) continue
    const ofUser = users.get(chunk.uid)
    if (ofUser === undefined) users.set(chunk.uid, [chunk])
    else ofUser.push(chunk)
  }
  const picked: Array<JournalChunk> = []
  const turns = [...users.values()].map((ofUser) => ofUser.sort(byAge).values())
  for (let turn = turns.shift(); turn !== undefined && picked.length < limit; turn = turns.shift()) {
    const next = turn.next()
    if (next.done === true) continue
    picked.push(next.value)
    turns.push(turn)
  }
  const due = [...users.values()].reduce((sum, ofUser) => sum + ofUser.length, 0)
  return { picked, more: due > picked.length }
}

/** After a failure that may be any chunk's it is due in the next round, after one of its own ever later. */
export function postpone(chunk: JournalChunk, round: number, isItsOwn: boolean): void {
  chunk.dueRound = round + (isItsOwn ? Math.min(longestPause, 2 ** chunk.refusals++) : 1)
}

/** The parts of the server's responses that the page uses. */
import * as Json from "./Json.ts"

const audioFile = Json.record({
  id: Json.text,
  started_at: Json.text,
  duration: Json.number,
  codec: Json.text,
  sample_rate: Json.number,
  bytes: Json.number
})
export type AudioFile = Json.Decoded<typeof audioFile>

export const conversation = Json.record({
  id: Json.text,
  uid: Json.text,
  live: Json.flag,
  started_at: Json.nullable(Json.text),
  finished_at: Json.nullable(Json.text),
  duration: Json.number,
  captured_duration: Json.number,
  lost_seconds: Json.number,
  audio_files: Json.list(audioFile),
  files_next: Json.nullable(Json.text)
})
export type Conversation = Json.Decoded<typeof conversation>

export const conversations = Json.record({
  conversations: Json.list(conversation),
  next: Json.nullable(Json.text)
})
export type Conversations = Json.Decoded<typeof conversations>

const fileWaveform = Json.record({
  id: Json.text,
  duration: Json.number,
  stored: Json.number,
  low: Json.list(Json.nullable(Json.number)),
  high: Json.list(Json.nullable(Json.number)),
  lost: Json.list(Json.pair)
})
export type FileWaveform = Json.Decoded<typeof fileWaveform>

export const waveform = Json.record({ live: Json.flag, audio_files: Json.list(fileWaveform) })

const segment = Json.record({
  id: Json.text,
  start: Json.number,
  end: Json.lenient(Json.number),
  text: Json.lenient(Json.text),
  speaker: Json.lenient(Json.text),
  is_user: Json.lenient(Json.flag)
})
export type Segment = Json.Decoded<typeof segment>

export const transcript = Json.record({ segments: Json.list(segment), next: Json.nullable(Json.text) })

const access = { signed_url: Json.optional(Json.text), reason: Json.optional(Json.text) }
const artifact = Json.record({ state: Json.text, reason: Json.optional(Json.text) })
export const audioUrls = Json.record({
  audio_files: Json.list(Json.record({ id: Json.text, ...access, artifact: Json.optional(artifact) })),
  conversation_audio: Json.optional(Json.record(access)),
  files_next: Json.optional(Json.text)
})
export type AudioUrls = Json.Decoded<typeof audioUrls>

const capture = Json.record({
  id: Json.number,
  uid: Json.text,
  conversation: Json.nullable(Json.text),
  sample_rate: Json.number,
  opened_at: Json.text,
  bytes: Json.number,
  bytes_per_second: Json.number,
  waiting_bytes: Json.number,
  ack_lag: Json.number,
  upload_lag: Json.number,
  queued: Json.number,
  deferred: Json.number,
  dropped_segments: Json.number
})
export type Capture = Json.Decoded<typeof capture>

const bound = Json.record({
  name: Json.text,
  unit: Json.text,
  used: Json.number,
  limit: Json.number,
  waiting: Json.number
})
export type Bound = Json.Decoded<typeof bound>

const node = Json.record({
  captures: Json.number,
  bytes_per_second: Json.number,
  bounds: Json.list(bound),
  troubles: Json.list(Json.record({ name: Json.text, count: Json.number })),
  failing: Json.list(Json.record({ name: Json.text, reason: Json.text })),
  memory: Json.record({ rss: Json.number, heap: Json.number, external: Json.number }),
  store: Json.record({
    class_a: Json.number,
    class_b: Json.number,
    read_bytes: Json.number,
    written_bytes: Json.number,
    audio_seconds: Json.number
  })
})
export type Node = Json.Decoded<typeof node>

export const capturesSnapshot = Json.record({
  at: Json.text,
  total: Json.number,
  captures: Json.list(capture),
  node: Json.nullable(node)
})
export type CapturesSnapshot = Json.Decoded<typeof capturesSnapshot>

const deletion = Json.record({
  id: Json.text,
  key: Json.text,
  uid: Json.text,
  at: Json.text,
  last_error: Json.nullable(Json.text)
})
export type Deletion = Json.Decoded<typeof deletion>

const backlog = Json.record({
  pending: Json.number,
  due: Json.number,
  oldest_due_seconds: Json.number,
  due_within: Json.record({ minute: Json.number, hour: Json.number, day: Json.number, later: Json.number }),
  dead: Json.number,
  deleted_by_node: Json.number
})
export type Backlog = Json.Decoded<typeof backlog>

export const deletions = Json.record({
  backlog,
  deletions: Json.list(deletion),
  next: Json.nullable(Json.text)
})

/** Null: as the server's settings say. */
export const userSettings = Json.record({
  store_audio: Json.nullable(Json.flag),
  protection: Json.nullable(Json.text),
  retention_days: Json.nullable(Json.number)
})
export type UserSettings = Json.Decoded<typeof userSettings>

const givenUp = Json.record({
  job_id: Json.text,
  uid: Json.text,
  conversation_id: Json.nullable(Json.text),
  last_error: Json.nullable(Json.text)
})
/** A deletion of a conversation or an account that was given up. */
export type GivenUp = Json.Decoded<typeof givenUp>

export const givenUpJobs = Json.record({ deletions: Json.list(givenUp), next: Json.nullable(Json.text) })

export function pathOf(conversation: string): string {
  return `/v1/conversations/${encodeURIComponent(conversation)}`
}

export function urlsPath(conversation: string): string {
  return `/v1/sync/audio/${encodeURIComponent(conversation)}/urls`
}

export function precachePath(conversation: string): string {
  return `/v1/sync/audio/${encodeURIComponent(conversation)}/precache`
}

export function audioPath(conversation: string, file: string): string {
  return `/v1/sync/audio/${encodeURIComponent(conversation)}/${encodeURIComponent(file)}`
}

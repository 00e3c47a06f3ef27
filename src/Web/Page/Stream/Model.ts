/** The parts of the responses about streams and their VODs that the page uses, and paths. */
import * as Json from "../Json.ts"

const live = Json.record({ broadcast: Json.number, started_at: Json.text, reconnecting: Json.flag })

export const stream = Json.record({
  slug: Json.text,
  uid: Json.text,
  title: Json.text,
  description: Json.text,
  visibility: Json.text,
  chat: Json.record({ enabled: Json.flag, slow_mode_seconds: Json.number }),
  live: Json.nullable(live),
  created_at: Json.text
})
export type Stream = Json.Decoded<typeof stream>

export const metrics = Json.record({
  live: Json.nullable(live),
  /** Bits per second. */
  bitrate: Json.number,
  listeners: Json.number
})
export type Metrics = Json.Decoded<typeof metrics>

/** As its audience sees it. */
export const publicVod = Json.record({
  id: Json.text,
  stream: Json.nullable(Json.text),
  broadcast: Json.number,
  title: Json.text,
  description: Json.text,
  duration: Json.nullable(Json.number),
  started_at: Json.text
})
export type PublicVod = Json.Decoded<typeof publicVod>

export const publicVods = Json.record({ vods: Json.list(publicVod), cursor: Json.nullable(Json.text) })

export const vodUrls = Json.record({
  url: Json.nullable(Json.text),
  content_type: Json.text,
  expires_at: Json.text,
  files: Json.list(Json.record({ url: Json.text, started_at: Json.text, duration: Json.number }))
})
export type VodUrls = Json.Decoded<typeof vodUrls>

export const streamsPath = "/api/v1/studio/streams"

export function streamPath(slug: string): string {
  return `${streamsPath}/${encodeURIComponent(slug)}`
}

export function vodPath(id: string): string {
  return `/api/v1/studio/vods/${encodeURIComponent(id)}`
}

/** The parts of the studio's responses that only owners use. */
import * as Json from "../Json.ts"
import { publicVod, stream } from "../Stream/Model.ts"

export const streams = Json.record({ streams: Json.list(stream), next: Json.nullable(Json.text) })
export const createdStream = Json.record({ stream, key: Json.text })
export const streamKey = Json.record({ key: Json.text })

/** As its owner sees it. */
export const vod: Json.Decoder<Vod> = (value, at) => ({ ...publicVod(value, at), ...ownFields(value, at) })
const ownFields = Json.record({
  status: Json.text,
  reason: Json.nullable(Json.text),
  deleted_at: Json.nullable(Json.text),
  purge_at: Json.nullable(Json.text)
})
export type Vod = Json.Decoded<typeof publicVod> & Json.Decoded<typeof ownFields>

export const vods = Json.record({
  vods: Json.list(vod),
  total: Json.nullable(Json.number),
  has_more: Json.flag,
  cursor: Json.nullable(Json.text)
})

const sums = {
  views: Json.number,
  unique_listeners: Json.number,
  watch_seconds: Json.number,
  completion: Json.nullable(Json.number)
}
export const analytics = Json.record({ ...sums, days: Json.list(Json.record({ day: Json.text, ...sums })) })
export type Analytics = Json.Decoded<typeof analytics>

const ban = Json.record({
  uid: Json.text,
  until: Json.nullable(Json.text),
  reason: Json.text,
  banned_by: Json.text
})
export const bans = Json.record({ bans: Json.list(ban), next: Json.nullable(Json.text) })

export const moderator = Json.record({ uid: Json.text, permissions: Json.list(Json.text) })
export const moderators = Json.record({ moderators: Json.list(moderator), next: Json.nullable(Json.text) })

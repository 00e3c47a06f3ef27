/** The transcript message (102): its segments, and the conversation that they belong to. */
import { createHash } from "node:crypto"
import { Option, Predicate, Schema } from "effect"
import { Id } from "../../Id.ts"

/** Segments of a message. A message with more is ignored. */
export const maxSegments = 1_000

/** Characters of a segment's JSON. A longer segment is rejected. */
export const maxSegmentChars = 16 * 1024

/** Levels of objects and arrays in a segment. A deeper one is rejected, because it would exhaust the stack of its readers. */
const maxDepth = 20

export interface Segment {
  /** Unique in the conversation: the client's, or derived from the start and the speaker. */
  readonly id: string
  /** Seconds from the start of the conversation. */
  readonly start: number
  /** The object that the client sent, unknown fields included, with this id. */
  readonly json: string
}

export interface LiveTranscript {
  readonly uid: string
  readonly conversation: string
  readonly segments: ReadonlyArray<Segment>
  /** Characters of the segments' JSON. */
  readonly chars: number
  /** Monotonic milliseconds. */
  readonly receivedAt: number
}

const Message = Schema.fromJsonString(
  Schema.Struct({
    segments: Schema.Array(Schema.Unknown).check(Schema.isMaxLength(maxSegments)),
    memory_id: Schema.optionalKey(Schema.NullOr(Id))
  })
)

const decodeMessage = Schema.decodeUnknownOption(Message)

/** Printable ASCII. Segments with another id get a derived one. */
const usableId = /^[\x21-\x7e]{1,128}$/

/** A segment that grows keeps its start and its speaker, so it keeps a derived id. */
const derivedId = (segment: { readonly [field: PropertyKey]: unknown }): string => {
  const named = JSON.stringify(["start", "speaker", "speaker_id", "is_user"].map((field) => segment[field]))
  return `derived-${createHash("sha256").update(named).digest("hex").slice(0, 32)}`
}

const isShallow = (value: unknown, levels = maxDepth): boolean =>
  !Predicate.isObjectOrArray(value) ||
  (levels > 0 && Object.values(value).every((each: unknown) => isShallow(each, levels - 1)))

const segmentOf = (value: unknown): Segment | undefined => {
  if (!Predicate.isObject(value) || !isShallow(value)) return undefined
  const [start, given] = [value["start"], value["id"]]
  if (!Predicate.isNumber(start) || !Number.isFinite(start)) return undefined
  const id = Predicate.isString(given) && usableId.test(given) ? given : derivedId(value)
  const json = JSON.stringify({ ...value, id })
  return json.length > maxSegmentChars ? undefined : { id, start, json }
}

export interface Decoded extends Pick<LiveTranscript, "conversation" | "segments" | "chars"> {
  /** Segments without a start, and those that are too long or too deep. */
  readonly rejected: number
}

/** `current`: the conversation of a message that names none. None if the message can't be used. */
export function decode(text: Buffer, current: string | undefined): Option.Option<Decoded> {
  return Option.flatMap(decodeMessage(text.toString()), ({ memory_id, segments: given }) => {
    const conversation = memory_id ?? current
    if (conversation === undefined) return Option.none()
    const segments = given.map(segmentOf).filter((segment) => segment !== undefined)
    const chars = segments.reduce((sum, { json }) => sum + json.length, 0)
    return Option.some({ conversation, segments, chars, rejected: given.length - segments.length })
  })
}

/** The name of a chunk's object: user, conversation, start and format. */
import { Option, Schema } from "effect"
import { Id } from "../../Id.ts"

export interface ObjectName {
  readonly uid: string
  readonly conversation: string
  /** Unix seconds of the first sample, to the millisecond. */
  readonly start: number
  readonly codec: "pcm16" | "opus"
  readonly isEncrypted: boolean
}

/** Longest first, because `.batch.enc` also ends in `.enc`. */
const extensions = [
  { extension: ".batch.enc", codec: "pcm16", isEncrypted: true },
  { extension: ".batch.bin", codec: "pcm16", isEncrypted: false },
  { extension: ".opus.enc", codec: "opus", isEncrypted: true },
  { extension: ".opus", codec: "opus", isEncrypted: false },
  { extension: ".enc", codec: "pcm16", isEncrypted: true },
  { extension: ".bin", codec: "pcm16", isEncrypted: false }
] as const

export function formatOf(key: string) {
  return extensions.find(({ extension }) => key.endsWith(extension))
}

const isId = Schema.is(Id)

export function prefixOf(uid: string): string {
  return `chunks/${uid}/`
}

/** Parses `chunks/{uid}/{conversation}/{start}[-{last}]{extension}`; only batches have `-{last}`. */
export function parse(key: string): Option.Option<ObjectName> {
  const format = formatOf(key)
  const [top, uid = "", conversation = "", name = "", ...more] = key.split("/")
  if (format === undefined || top !== "chunks" || more.length > 0) return Option.none()
  if (!isId(uid) || !isId(conversation)) return Option.none()
  const [, start] =
    /^(\d{1,11}(?:\.\d{1,6})?)(?:-\d{1,11}(?:\.\d{1,6})?)?$/.exec(name.slice(0, -format.extension.length)) ?? []
  if (start === undefined || (name.includes("-") && !format.extension.startsWith(".batch"))) return Option.none()
  return Option.some({ uid, conversation, start: Number(start), codec: format.codec, isEncrypted: format.isEncrypted })
}

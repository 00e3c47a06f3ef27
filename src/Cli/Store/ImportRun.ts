/** Runs `spillway import`: uploads a local copy if there is one, pages through a user's objects and prints a summary. */
import { Clock, Console, Effect, FileSystem, Option, Path, Schema, Stream } from "effect"
import { Import } from "../../Recording.ts"
import { Storage, StorageUnavailable } from "../../Storage.ts"
import { CliConfig } from "../CliConfig.ts"
import * as Outages from "./Outages.ts"
import { Screen } from "../Screen.ts"

/** Some chunks were skipped; each was printed. */
export class ImportIncomplete extends Schema.TaggedError<ImportIncomplete>()("ImportIncomplete", {
  uid: Schema.String,
  skipped: Schema.Int
}) {
  override get message() {
    return `Of ${this.uid}, ${chunks(this.skipped)} can't be used.`
  }
}

const chunks = (count: number) => (count === 1 ? "1 chunk" : `${count} chunks`)

/** Shortest time between two progress lines. */
const progressMillis = 2_000

/** Keys that the summary names for each reason; further ones are counted. */
const namedKeys = 5

/** Owner of the admin key. */
const adminUid = "admin"

class Keys {
  count = 0
  readonly #first: Array<string> = []

  add(key: string) {
    if (this.count++ < namedKeys) this.#first.push(key)
  }

  get text(): string {
    const more = this.count > namedKeys ? ` and ${this.count - namedKeys} more` : ""
    return this.#first.join(", ") + more
  }
}

interface Options {
  readonly sampleRate: number
  readonly waveforms: boolean
}

interface Flags extends Options {
  readonly bucket: Option.Option<string>
  readonly from: Option.Option<string>
  readonly uid: string
}

export class NoDirectory extends Schema.TaggedError<NoDirectory>()("NoDirectory", {
  path: Schema.String,
  /** What to do about it, after a colon. */
  remedy: Schema.String
}) {
  override get message() {
    return `There is no directory ${this.path}${this.remedy}.`
  }
}

/** Files of `--from` uploaded at the same time. */
const window = 8

const isChunk = (name: string) => /\.(bin|enc|opus)$/.test(name)

/**
 * `--from`: uploads a local copy of a bucket under the original keys, and returns the rejected files with their reasons. An
 * identical object is no failure. A copy has no object metadata, so the import takes times from the keys.
 */
const putAll = Effect.fnUntraced(function* (from: string, uid: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const storage = yield* Storage
  const all = path.join(from, "chunks")
  const root = path.join(all, uid)
  const namesIn = (directory: string) => Effect.orElseSucceed(fs.readDirectory(directory), (): Array<string> => [])
  if (!(yield* fs.exists(all)))
    return yield* new NoDirectory({ path: all, remedy: ": give the directory that holds chunks/" })
  if (!(yield* fs.exists(root))) return yield* new NoDirectory({ path: root, remedy: ": check --uid" })

  const one = Effect.fnUntraced(function* (conversation: string, name: string) {
    const file = path.join(root, conversation, name)
    const key = `chunks/${uid}/${conversation}/${name}`
    const info = yield* Effect.option(Effect.andThen(fs.access(file, { readable: true }), fs.stat(file)))
    if (Option.isNone(info) || info.value.type !== "File")
      return Option.some({ key, why: "not readable", reason: "it is not a readable file" })
    const size = Number(info.value.size)
    const unread = (cause: unknown) => new StorageUnavailable({ operation: "read", bucket: from, key, cause })
    const stream = Stream.mapError(fs.stream(file), unread)
    const object = { key, body: { size, stream }, contentType: "application/octet-stream", metadata: {} }
    return yield* storage.put(object).pipe(
      Effect.as(Option.none()),
      Effect.catchTag(["ObjectConflict", "StorageRefused"], ({ message }) =>
        Effect.succeedSome({ key, why: "rejected by the store", reason: message })
      )
    )
  })

  const left = yield* Effect.forEach(yield* namesIn(root), (conversation) =>
    Effect.flatMap(namesIn(path.join(root, conversation)), (names) =>
      Effect.forEach(names.filter(isChunk), (name) => one(conversation, name), { concurrency: window })
    )
  )
  return left.flat().flatMap(Option.toArray)
})

const run = Effect.fnUntraced(function* (uid: string, from: Option.Option<string>, options: Options) {
  const { page } = yield* Import
  const config = yield* CliConfig
  const screen = yield* Screen
  const total = { added: 0, known: 0, odd: 0, undrawn: 0, skipped: 0, objects: 0 }
  const ignored = new Keys()
  const left = new Map<string, Keys>()
  const skip = ({ key, reason, why }: { readonly key: string; readonly reason: string; readonly why: string }) => {
    const those = left.get(why) ?? new Keys()
    left.set(why, those)
    those.add(key)
    total.skipped++
    return Console.error(`skipped ${key}: ${reason}`)
  }
  // Importing a page twice has no further effect.
  const retrying = <A, E, R>(work: Effect.Effect<A, E, R>) => Outages.waitOut(work, () => total.objects, config)
  if (Option.isSome(from)) yield* Effect.forEach(yield* retrying(putAll(from.value, uid)), skip)
  let printedAt = yield* Clock.currentTimeMillis
  let after = Option.some("")
  while (Option.isSome(after)) {
    const here = { after: after.value, ...options }
    const { added, known, next, odd, undrawn, ...rest } = yield* retrying(page(uid, here))
    total.objects += added + known + rest.skipped.length + rest.ignored.length
    total.added += added
    total.known += known
    total.odd += odd
    total.undrawn += undrawn
    for (const key of rest.ignored) ignored.add(key)
    yield* Effect.forEach(rest.skipped, skip)
    const now = yield* Clock.currentTimeMillis
    if (Option.isSome(next) && now - printedAt >= progressMillis) {
      printedAt = now
      yield* screen.print(`${total.objects} objects up to ${next.value}: ${total.added} new, ${total.skipped} skipped`)
    }
    after = next
  }
  return { ...total, left, ignored }
})

const whereOf = ({ bucket, prefix }: ReturnType<Import["Service"]["place"]>) =>
  bucket === "disk"
    ? `under ${prefix} in this node's store on disk. A bucket is named with --bucket or SPILLWAY_BUCKET`
    : `under ${prefix} in the bucket ${bucket}`

const summary = ({ added, ignored, known, left, odd, skipped, undrawn }: Effect.Success<ReturnType<typeof run>>) => [
  [
    `${chunks(added)} imported, ${known} already known`,
    ...(odd > 0 ? [`${odd} have an odd last byte, which is ignored`] : []),
    ...(skipped > 0 ? [`${skipped} can't be used and play as silence`] : [])
  ].join(", "),
  ...[...left].map(([why, keys]) => `  ${keys.count} ${why}: ${keys.text}`),
  ...(ignored.count > 0
    ? [
        `${ignored.count === 1 ? "1 is not named as a chunk and was" : `${ignored.count} are not named as chunks and were`} left alone: ${ignored.text}`
      ]
    : []),
  ...(undrawn > 0 ? [`${undrawn} have no waveform yet; with --waveforms it is made, and all of their audio read`] : [])
]

export const importAll = Effect.fnUntraced(function* ({ bucket, from, uid, ...options }: Flags) {
  const imported = yield* run(uid, from, options)
  if (imported.objects + imported.skipped === 0)
    return yield* Console.log(`0 objects: there is nothing ${whereOf((yield* Import).place(uid))}.`)
  yield* Effect.forEach(summary(imported), (line) => Console.log(line))
  if (Option.isSome(bucket) && imported.added > 0)
    yield* Console.log(`A server with SPILLWAY_BUCKET=${bucket.value} plays them.`)
  if (imported.added + imported.known > 0 && uid !== adminUid)
    yield* Console.log(`Listen with a key of ${uid}, when the server runs: npm run spillway -- keys create ${uid}`)
  const { skipped } = imported
  if (skipped > 0) return yield* new ImportIncomplete({ uid, skipped })
})

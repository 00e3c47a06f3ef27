/** `--from`: uploads a local copy of a bucket to the store under the original keys. */
import { Effect, FileSystem, Option, Path, Schema, Stream } from "effect"
import { Storage, StorageUnavailable } from "../../Storage.ts"

export class NoDirectory extends Schema.TaggedError<NoDirectory>()("NoDirectory", {
  path: Schema.String,
  /** What to do about it, or empty. */
  remedy: Schema.String
}) {
  override get message() {
    return `There is no directory ${this.path}${this.remedy}.`
  }
}

/** Files uploaded at the same time. */
const window = 8

const isChunk = (name: string) => /\.(bin|enc|opus)$/.test(name)

/**
 * Returns the rejected files with their reasons. Uploading an identical file again succeeds. A copy has no object
 * metadata, so the import takes times from the keys.
 */
export const put = Effect.fnUntraced(function* (from: string, uid: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const storage = yield* Storage
  const all = path.join(from, "chunks")
  const root = path.join(all, uid)
  const namesIn = (directory: string) => Effect.orElseSucceed(fs.readDirectory(directory), (): Array<string> => [])
  if (!(yield* fs.exists(all)))
    return yield* new NoDirectory({ path: all, remedy: ": give the directory that holds chunks/" })
  if (!(yield* fs.exists(root))) return yield* new NoDirectory({ path: root, remedy: "" })

  const one = Effect.fnUntraced(function* (conversation: string, name: string) {
    const file = path.join(root, conversation, name)
    const key = `chunks/${uid}/${conversation}/${name}`
    const info = yield* Effect.option(Effect.andThen(fs.access(file, { readable: true }), fs.stat(file)))
    if (Option.isNone(info) || info.value.type !== "File")
      return Option.some({ key, why: "not readable", reason: "it is no file that can be read" })
    const size = Number(info.value.size)
    const unread = (cause: unknown) => new StorageUnavailable({ operation: "read", bucket: from, key, cause })
    const stream = Stream.mapError(fs.stream(file), unread)
    const object = { key, body: { size, stream }, contentType: "application/octet-stream", metadata: {} }
    return yield* storage.put(object).pipe(
      Effect.as(Option.none()),
      Effect.catchTag(["ObjectConflict", "StorageRefused"], ({ message }) =>
        Effect.succeedSome({ key, why: "not taken by the store", reason: message })
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

/** Bounds of the object store. */
import { Context } from "effect"
import * as Settings from "../Settings.ts"

const settings = {
  readPiece: Settings.constant(
    Settings.bytes(
      "STORAGE_READ_CHUNK",
      "512 KiB",
      "Objects on disk are read in pieces of this size; a reader holds one or two of them, whatever the object's size."
    )
  ),
  listHeads: Settings.constant(
    Settings.integer(
      "STORAGE_LIST_HEADS",
      4,
      { min: 1, max: 64 },
      "Objects on disk whose metadata one listing reads at the same time; the rest of the page waits."
    )
  ),
  window: Settings.constant(
    Settings.integer(
      "STORAGE_WINDOW",
      8,
      { min: 1, max: 256 },
      "Objects that one operation on many of them (removing, composing) touches at the same time; the rest waits."
    )
  ),
  knownDirectories: Settings.constant(
    Settings.integer(
      "STORAGE_KNOWN_DIRECTORIES",
      4_096,
      { min: 1, max: 1_000_000 },
      "Directories remembered as durable; the oldest is forgotten and costs one or two fsyncs when it is next written to."
    )
  ),
  urls: Settings.constant(
    Settings.integer(
      "STORAGE_URLS",
      10_000,
      { min: 1, max: 1_000_000 },
      "Signed URLs in the cache. The oldest is evicted and signed again when needed."
    )
  ),
  urlResponses: Settings.integer(
    "SPILLWAY_URL_RESPONSES",
    1_000,
    { min: 1, max: 1_000_000 },
    "Responses to signed URLs of objects on disk that are sent at the same time; one more is answered 503. Raise it for more downloads, on a machine with the memory."
  ),
  urlResponsesPerUser: Settings.integer(
    "SPILLWAY_URL_RESPONSES_PER_USER",
    32,
    { min: 1, max: 1_000_000 },
    "Responses to signed URLs of one user's objects on disk; one more is answered 429. Raise it for users who download much at once."
  ),
  leftoverAge: Settings.constant(
    Settings.duration(
      "STORAGE_LEFTOVER_AGE",
      "1 hour",
      "Age at which the unfinished writes of a killed process are deleted; also the interval of the search for them."
    )
  )
}

export class StorageConfig extends Context.Service<StorageConfig, Settings.Values<typeof settings>>()(
  "spillway/Storage/StorageConfig"
) {
  static readonly settings = settings
  static readonly layer = Settings.layer(this, settings)
}

/** The bucket of Google Cloud Storage, its credentials, and the bounds of requests to it. */
import { Context } from "effect"
import * as Settings from "../../Settings.ts"

/** A bucket's name, as Google allows them. */
const isBucket = (text: string) => /^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$/.test(text)

const isOrigin = (text: string) => {
  const url = URL.parse(text)
  return url !== null && /^https?:$/.test(url.protocol) && url.origin === text.replace(/\/$/, "")
}

const settings = {
  bucket: Settings.optionalText(
    "SPILLWAY_BUCKET",
    "the name of a bucket",
    isBucket,
    "Objects are stored in this bucket of Google Cloud Storage. Set it to keep audio off this machine, or to run several nodes. Without it, objects are stored under the data directory."
  ),
  endpoint: Settings.optionalText(
    "SPILLWAY_GCS_ENDPOINT",
    "an address such as https://storage.googleapis.com",
    isOrigin,
    "Address of the store in place of Google's. Set it for a private endpoint or an emulator. Over plain http, a token is only sent if there is a key file."
  ),
  keyFile: Settings.optionalText(
    "SPILLWAY_GCS_KEY_FILE",
    "a path",
    (text) => text !== "",
    "File with credentials (of a service account or of a workload identity). Set it outside Google Cloud. Without it: Google's application default credentials."
  ),
  connections: Settings.constant(
    Settings.integer(
      "GCS_CONNECTIONS",
      64,
      { min: 1, max: 1_024 },
      "Connections to the store; while all of them are busy a request waits, and its timeout runs."
    )
  ),
  attemptTimeout: Settings.constant(
    Settings.duration(
      "GCS_ATTEMPT_TIMEOUT",
      "30 seconds",
      "Time for one request; for a read, until its first byte. Then it is aborted and counts as failed."
    )
  ),
  stallTimeout: Settings.constant(
    Settings.duration(
      "GCS_STALL_TIMEOUT",
      "10 seconds",
      "Time in which a request moves no byte. Then it is aborted and counts as failed. The first attempt of a read is aborted after two fifths of it, so that a second one can serve the listener in the time for the first audio."
    )
  ),
  deadline: Settings.duration(
    "SPILLWAY_GCS_DEADLINE",
    "60 seconds",
    "Time for one operation on the bucket, with all its attempts; for a long transfer, time without progress. Then it fails. Raise it on a slow network."
  ),
  retryBase: Settings.constant(
    Settings.duration(
      "GCS_RETRY_BASE",
      "200 millis",
      "Wait before the second attempt; it doubles with each further one, and varies by a fifth."
    )
  ),
  retryCap: Settings.constant(Settings.duration("GCS_RETRY_CAP", "8 seconds", "Longest wait before an attempt.")),
  readAhead: Settings.constant(
    Settings.bytes(
      "GCS_READ_AHEAD",
      "512 KiB",
      "Bytes that a read buffers ahead of its consumer; then it stops reading from its connection."
    )
  ),
  multipartSize: Settings.constant(
    Settings.bytes(
      "GCS_MULTIPART_SIZE",
      "8 MiB",
      "Objects up to this size are uploaded in one request; larger ones in chunks, and resume after a fault."
    )
  ),
  chunkSize: Settings.constant(
    Settings.bytes(
      "GCS_CHUNK_SIZE",
      "8 MiB",
      "Chunk of a resumable upload, a multiple of 256 KiB; an upload holds one in memory."
    )
  ),
  signedUrls: Settings.constant(
    Settings.integer(
      "GCS_SIGNED_URLS",
      10_000,
      { min: 1, max: 1_000_000 },
      "Signed URLs in the cache. The least recently used one is evicted and signed again when needed."
    )
  )
}

export class GcsConfig extends Context.Service<GcsConfig, Settings.Values<typeof settings>>()(
  "spillway/Storage/Gcs/GcsConfig"
) {
  static readonly settings = settings
  static readonly layer = Settings.layer(this, settings)
}

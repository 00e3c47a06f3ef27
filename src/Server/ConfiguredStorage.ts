/** The object store that the settings ask for: a bucket of Google Cloud Storage, or this machine's disk. */
import { Effect, Layer, Option } from "effect"
import { resolve } from "node:path"
import { NodeConfig } from "../NodeConfig.ts"
import type { Storage } from "../Storage.ts"
import * as DiskStorage from "../Storage/Disk/DiskStorage.ts"
import { GcsConfig } from "../Storage/Gcs/GcsConfig.ts"
import { ProtectionConfig } from "../Encryption/ProtectionConfig.ts"

type Disk = typeof DiskStorage.layer

/** Google's library is as large as all of this program: loaded for who uses it. */
const gcs = (bucket: string) =>
  Layer.unwrap(
    Effect.map(
      Effect.promise(() => import("../Storage/Gcs/GcsStorage.ts")),
      ({ layerBucket }) => layerBucket(bucket)
    )
  )

const chosen = (
  bucket: Option.Option<string>
): Layer.Layer<Storage, Layer.Error<Disk>, Layer.Services<Disk> | GcsConfig> =>
  Option.match(bucket, { onNone: () => DiskStorage.layer, onSome: gcs })

export const layer = Layer.unwrap(Effect.map(GcsConfig, ({ bucket }) => chosen(bucket)))

/** Says in the log where objects are kept, and whether new audio is encrypted. For a start whose store was not refused. */
export const layerSaid = Layer.effectDiscard(
  Effect.gen(function* () {
    const { bucket, endpoint } = yield* GcsConfig
    const { dataDir } = yield* NodeConfig
    const { level } = yield* ProtectionConfig
    const at = Option.match(endpoint, { onNone: () => "of Google Cloud Storage", onSome: (url) => `at ${url}` })
    const place = Option.match(bucket, {
      onNone: () => `under ${resolve(dataDir, "objects")}`,
      onSome: (name) => `in bucket "${name}" ${at}`
    })
    yield* Effect.logInfo(`Objects are kept ${place}; new audio is ${level === "enhanced" ? "" : "not "}encrypted`)
  })
)

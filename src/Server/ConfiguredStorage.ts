/** Selects the object store by the settings: a bucket of Google Cloud Storage, or the disk of this machine. */
import { Effect, Layer, Option } from "effect"
import { resolve } from "node:path"
import { NodeConfig } from "../NodeConfig.ts"
import type { Storage } from "../Storage.ts"
import * as DiskStorage from "../Storage/Disk/DiskStorage.ts"
import { GcsConfig } from "../Storage/Gcs/GcsConfig.ts"
import { ProtectionConfig } from "../Encryption/ProtectionConfig.ts"

type Disk = typeof DiskStorage.layer

/** Loaded on demand: Google's library is as large as the rest of the program. */
const gcs = (bucket: string) =>
  Layer.unwrap(
    Effect.map(
      Effect.promise(() => import("../Storage/Gcs/GcsStorage.ts")),
      ({ layerBucket }) => layerBucket(bucket)
    )
  )

const select = (
  bucket: Option.Option<string>
): Layer.Layer<Storage, Layer.Error<Disk>, Layer.Services<Disk> | GcsConfig> =>
  Option.match(bucket, { onNone: () => DiskStorage.layer, onSome: gcs })

export const layer = Layer.unwrap(Effect.map(GcsConfig, ({ bucket }) => select(bucket)))

/** Logs where objects are stored and whether new audio is encrypted. Built after the store, so only for a store that works. */
export const layerLog = Layer.effectDiscard(
  Effect.gen(function* () {
    const { bucket, endpoint } = yield* GcsConfig
    const { dataDir } = yield* NodeConfig
    const { level } = yield* ProtectionConfig
    const at = Option.match(endpoint, { onNone: () => "of Google Cloud Storage", onSome: (url) => `at ${url}` })
    const place = Option.match(bucket, {
      onNone: () => `under ${resolve(dataDir, "objects")}`,
      onSome: (name) => `in bucket "${name}" ${at}`
    })
    yield* Effect.logInfo(`Objects are stored ${place}; new audio is ${level === "enhanced" ? "" : "not "}encrypted`)
  })
)

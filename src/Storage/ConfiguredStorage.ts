/** The object store that the settings ask for: a bucket of Google Cloud Storage, or this machine's disk. */
import { Effect, Layer, Option } from "effect"
import type { Storage } from "../Storage.ts"
import * as DiskStorage from "./DiskStorage.ts"
import { GcsConfig } from "./GcsConfig.ts"
import * as GcsStorage from "./GcsStorage.ts"

type Disk = typeof DiskStorage.layer

const chosen = (
  bucket: Option.Option<string>
): Layer.Layer<Storage, Layer.Error<Disk>, Layer.Services<Disk> | GcsConfig> =>
  Option.isSome(bucket) ? GcsStorage.layerBucket(bucket.value) : DiskStorage.layer

export const layer = Layer.unwrap(Effect.map(GcsConfig, ({ bucket }) => chosen(bucket)))

/** A disk store in a temporary directory. */
import { Duration, Effect, Layer } from "effect"
import { NodeConfig } from "../../../src/NodeConfig.ts"
import { PublicUrl } from "../../../src/PublicUrl.ts"
import * as DiskStorage from "../../../src/Storage/Disk/DiskStorage.ts"
import { StorageConfig } from "../../../src/Storage/StorageConfig.ts"
import { temporaryDirectory } from "../../support/TemporaryDirectory.ts"

/** Small bounds, so that tests reach them. */
const config = Layer.succeed(StorageConfig, {
  readPiece: 65_536,
  listHeads: 4,
  window: 8,
  urls: 1_000,
  urlResponses: 10,
  urlResponsesPerUser: 5,
  knownDirectories: 3,
  leftoverAge: Duration.hours(1)
})

const publicUrl = Layer.succeed(PublicUrl, { base: () => "http://spillway.test:8080", setPort: () => {} })

/** A new store in this directory. */
export const diskStorage = (dataDir: string) =>
  Layer.fresh(DiskStorage.layer).pipe(Layer.provide([config, publicUrl, Layer.succeed(NodeConfig, { dataDir })]))

export const layer = Layer.unwrap(Effect.map(temporaryDirectory, diskStorage))

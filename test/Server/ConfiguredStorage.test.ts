/** The start logs where audio is stored, and whether it is encrypted. */
import { assert, it } from "@effect/vitest"
import { ConfigProvider, Effect, Layer, Logger } from "effect"
import { resolve } from "node:path"
import { NodeConfig } from "../../src/NodeConfig.ts"
import * as ConfiguredStorage from "../../src/Server/ConfiguredStorage.ts"
import { GcsConfig } from "../../src/Storage/Gcs/GcsConfig.ts"
import { ProtectionConfig } from "../../src/Encryption/ProtectionConfig.ts"

const secret = Buffer.alloc(32, 1).toString("base64")

it.effect.each([
  [{ SPILLWAY_DATA_DIR: "there" }, `Objects are stored under ${resolve("there/objects")}; new audio is not encrypted`],
  [
    { SPILLWAY_BUCKET: "audio", SPILLWAY_PROTECTION: "enhanced", SPILLWAY_MASTER_SECRETS: secret },
    'Objects are stored in bucket "audio" of Google Cloud Storage; new audio is encrypted'
  ],
  [
    { SPILLWAY_BUCKET: "audio", SPILLWAY_GCS_ENDPOINT: "http://127.0.0.1:4443" },
    'Objects are stored in bucket "audio" at http://127.0.0.1:4443; new audio is not encrypted'
  ]
] as const)("logs at the start which store is used: %j", ([env, line]) =>
  Effect.gen(function* () {
    const lines: Array<unknown> = []
    const logger = Logger.make(({ message }) => void lines.push([message].flat()[0]))
    const said = ConfiguredStorage.layerLog.pipe(
      Layer.provide(Layer.fresh(Layer.mergeAll(GcsConfig.layer, NodeConfig.layer, ProtectionConfig.layer))),
      Layer.provide([ConfigProvider.layer(ConfigProvider.fromUnknown(env)), Logger.layer([logger])])
    )
    yield* Effect.scoped(Layer.build(said))
    assert.deepStrictEqual(lines, [line])
  })
)

/** Composition: the services of `spillway import` and `spillway gc`. `src/Cli.ts` loads it for these commands only. */
import { ConfigProvider, Effect, Layer, Option, References } from "effect"
import { CliConfig } from "../Cli/CliConfig.ts"
import { Screen } from "../Cli/Screen.ts"
import * as Configuration from "./Configuration.ts"
import * as Database from "../Db/Database.ts"
import * as PublicAddress from "./PublicAddress.ts"
import { Import, Orphans } from "../Recording.ts"
import * as Settings from "../Settings.ts"
import * as ConfiguredStorage from "./ConfiguredStorage.ts"
import { GcsConfig } from "../Storage/Gcs/GcsConfig.ts"
import * as UsedSecrets from "../Encryption/UsedSecrets.ts"

const env = "SPILLWAY_BUCKET"

/** Shorter timeouts of the store for all settings below this layer, because the command prints each retry. */
const layerShortTimeouts: Layer.Layer<never> = Layer.merge(
  ConfigProvider.layerAdd(ConfigProvider.fromUnknown({ SPILLWAY_GCS_DEADLINE: "5 seconds" })),
  Layer.effect(
    Settings.Constants,
    Effect.map(Settings.Constants, (texts) => ({ GCS_STALL_TIMEOUT: "5 seconds", ...texts }))
  )
)

/** `--bucket` as a setting; fails if the server has another bucket: rows don't name theirs, so imported audio would not play. */
function layerBucket(bucket: Option.Option<string>) {
  if (Option.isNone(bucket)) return Layer.empty
  const asSetting = ConfigProvider.layerAdd(ConfigProvider.fromUnknown({ [env]: bucket.value }), { asPrimary: true })
  return Layer.unwrap(
    Effect.flatMap(Settings.read(GcsConfig.settings), ({ bucket: known }) =>
      Option.isNone(known) || known.value === bucket.value
        ? Effect.succeed(asSetting)
        : new Settings.SettingsInvalid({
            problems: [{ env, found: known.value, expected: `the bucket of --bucket, ${bucket.value}` }]
          })
    )
  )
}

/** Uses the server's store and database directly. `bucket` is accepted only if the settings have none. */
export function layer({ bucket }: { readonly bucket: Option.Option<string> }) {
  return Layer.mergeAll(Screen.layer, CliConfig.layer, Import.layer, Orphans.layer).pipe(
    Layer.provide(UsedSecrets.layer),
    Layer.provide(Database.layer),
    // Hides the warnings about an unreachable store that are meant for a server.
    Layer.provideMerge(Layer.provide(ConfiguredStorage.layer, Layer.succeed(References.MinimumLogLevel, "Error"))),
    Layer.provide(PublicAddress.layer),
    Layer.provide(Configuration.layer),
    Layer.provide(layerBucket(bucket)),
    Layer.provide(layerShortTimeouts)
  )
}

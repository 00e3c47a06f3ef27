/** Composition: the services of `spillway import`. `src/Cli.ts` loads it for that command only. */
import { Effect, Layer, type Option, References } from "effect"
import * as Bucket from "../Cli/Import/Bucket.ts"
import { CliConfig } from "../Cli/CliConfig.ts"
import { Screen } from "../Cli/Screen.ts"
import * as Configuration from "./Configuration.ts"
import * as Database from "../Db/Database.ts"
import * as PublicAddress from "./PublicAddress.ts"
import { Import } from "../Recording.ts"
import * as Settings from "../Settings.ts"
import * as ConfiguredStorage from "./ConfiguredStorage.ts"
import { GcsConfig } from "../Storage/Gcs/GcsConfig.ts"
import * as UsedSecrets from "../Encryption/UsedSecrets.ts"

/** Uses the server's store and database directly. `bucket` is accepted only if the settings have none. */
export function layer({ bucket }: { readonly bucket: Option.Option<string> }) {
  return Layer.mergeAll(Screen.layer, CliConfig.layer, Import.layer).pipe(
    Layer.provide(UsedSecrets.layer),
    Layer.provide(Database.layer),
    // Hides the warnings about an unreachable store that are meant for a server.
    Layer.provideMerge(Layer.provide(ConfiguredStorage.layer, Layer.succeed(References.MinimumLogLevel, "Error"))),
    Layer.provide(PublicAddress.layer),
    Layer.provide(Configuration.layer),
    Layer.provide(
      Bucket.layer(
        bucket,
        Effect.map(Settings.read(GcsConfig.settings), ({ bucket }) => bucket)
      )
    ),
    Layer.provide(Bucket.layerShortTimeouts)
  )
}

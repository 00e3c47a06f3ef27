/** `--bucket`: a bucket in place of the one in the settings, where those name none. */
import { ConfigProvider, Effect, Layer, Option } from "effect"
import * as Settings from "../../Settings.ts"

const env = "SPILLWAY_BUCKET"

/**
 * Short retries within the store, as the user sees each failure and the command retries itself. The environment may set
 * another deadline. Applies to all settings that are read below it.
 */
export const layerImpatient: Layer.Layer<never> = Layer.merge(
  ConfigProvider.layerAdd(ConfigProvider.fromUnknown({ SPILLWAY_GCS_DEADLINE: "5 seconds" })),
  Layer.effect(
    Settings.Constants,
    Effect.map(Settings.Constants, (texts) => ({ SPILLWAY_GCS_STALL_TIMEOUT: "5 seconds", ...texts }))
  )
)

/** For all settings that are read below it. Rows do not tell their bucket, so another one than the server's would not play. */
export function layer(
  bucket: Option.Option<string>,
  servers: Effect.Effect<Option.Option<string>, Settings.SettingsInvalid>
): Layer.Layer<never, Settings.SettingsInvalid> {
  return Option.match(bucket, {
    onNone: () => Layer.empty,
    onSome: (name) =>
      Layer.unwrap(
        Effect.flatMap(servers, (server) =>
          Option.isSome(server) && server.value !== name
            ? new Settings.SettingsInvalid({
                problems: [{ env, found: server.value, expected: `the bucket of --bucket, ${name}` }]
              })
            : Effect.succeed(ConfigProvider.layerAdd(ConfigProvider.fromUnknown({ [env]: name }), { asPrimary: true }))
        )
      )
  })
}

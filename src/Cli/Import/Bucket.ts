/** `--bucket`: names the bucket when the settings name none. */
import { ConfigProvider, Effect, Layer, Option } from "effect"
import * as Settings from "../../Settings.ts"

const env = "SPILLWAY_BUCKET"

/**
 * Shorter store timeouts for an interactive command, which prints each retry. The environment overrides the deadline.
 * Applies to all settings read below this layer.
 */
export const layerShortTimeouts: Layer.Layer<never> = Layer.merge(
  ConfigProvider.layerAdd(ConfigProvider.fromUnknown({ SPILLWAY_GCS_DEADLINE: "5 seconds" })),
  Layer.effect(
    Settings.Constants,
    Effect.map(Settings.Constants, (texts) => ({ SPILLWAY_GCS_STALL_TIMEOUT: "5 seconds", ...texts }))
  )
)

/**
 * Applies to all settings read below this layer. Fails if the server has another bucket: rows don't name theirs, so
 * imported audio would not play.
 */
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

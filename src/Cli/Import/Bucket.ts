/** `--bucket`: names the bucket when the settings name none. */
import { ConfigProvider, Effect, Layer, Option } from "effect"
import { SettingsInvalid } from "../../Settings.ts"

const env = "SPILLWAY_BUCKET"

/**
 * Shorter store timeouts for an interactive command, which prints each retry. The environment overrides them. Applies
 * to all settings read below this layer.
 */
export const layerShortTimeouts: Layer.Layer<never> = ConfigProvider.layerAdd(
  ConfigProvider.fromUnknown({ SPILLWAY_GCS_DEADLINE: "5 seconds", SPILLWAY_GCS_STALL_TIMEOUT: "5 seconds" })
)

/**
 * Applies to all settings read below this layer. Fails if the server has another bucket: rows don't name theirs, so
 * imported audio would not play.
 */
export function layer(
  bucket: Option.Option<string>,
  servers: Effect.Effect<Option.Option<string>, SettingsInvalid>
): Layer.Layer<never, SettingsInvalid> {
  return Option.match(bucket, {
    onNone: () => Layer.empty,
    onSome: (name) =>
      Layer.unwrap(
        Effect.flatMap(servers, (server) =>
          Option.isSome(server) && server.value !== name
            ? new SettingsInvalid({
                problems: [{ env, found: server.value, expected: `the bucket of --bucket, ${name}` }]
              })
            : Effect.succeed(ConfigProvider.layerAdd(ConfigProvider.fromUnknown({ [env]: name }), { asPrimary: true }))
        )
      )
  })
}

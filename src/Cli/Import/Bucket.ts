/** `--bucket`: a bucket in place of the one in the settings, where those name none. */
import { ConfigProvider, Effect, Layer, Option } from "effect"
import { SettingsInvalid } from "../../Settings.ts"

const env = "SPILLWAY_BUCKET"

/**
 * Somebody waits and is told why at each try, so that the store's own tries are short; the environment may say otherwise.
 * For all settings that are read below it.
 */
export const layerImpatient: Layer.Layer<never> = ConfigProvider.layerAdd(
  ConfigProvider.fromUnknown({ SPILLWAY_GCS_DEADLINE: "5 seconds", SPILLWAY_GCS_STALL_TIMEOUT: "5 seconds" })
)

/** For all settings that are read below it. Rows do not tell their bucket, so another one than the server's would not play. */
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

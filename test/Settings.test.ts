/** Which variables are settings, and suggestions for unknown ones. */
import { assert, it } from "@effect/vitest"
import { ConfigProvider, Effect } from "effect"
import * as Settings from "../src/Settings.ts"

const known = [
  "SPILLWAY_PORT",
  "SPILLWAY_COMMIT_INTERVAL",
  "SPILLWAY_COMMIT_BYTES",
  "SPILLWAY_DATA_DIR",
  "DATABASE_URL"
]

const constants = { sweep: Settings.constant(Settings.duration("SWEEP_INTERVAL", "30 seconds", "An interval.")) }

const unknown = (env: Record<string, string>) =>
  Settings.unknown({ ...Settings.namesOf([{ settings: constants }]), known }).pipe(
    Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnvRecord(env)),
    Effect.map((found) => found.map(({ message }) => message))
  )

it.effect("names every unknown variable of Spillway with the nearest setting", () =>
  Effect.gen(function* () {
    const messages = yield* unknown({
      SPILLWAY_COMIT_INTERVAL: "1 second",
      SPILLWAY_DATADIR: "/x",
      SPILLWAY_PORTS: "80",
      SPILLWAY_EMPTY: "",
      SPILLWAY_COMMIT_BYTES: "1 MiB",
      SPILLWAY_PORT: "80",
      DATABASE_URI: "not ours",
      HOME: "/"
    })
    assert.deepStrictEqual(messages, [
      "SPILLWAY_COMIT_INTERVAL is no setting and changes nothing. Did you mean SPILLWAY_COMMIT_INTERVAL?",
      "SPILLWAY_DATADIR is no setting and changes nothing. Did you mean SPILLWAY_DATA_DIR?",
      "SPILLWAY_PORTS is no setting and changes nothing. Did you mean SPILLWAY_PORT?"
    ])
  })
)

it.effect("suggests nothing when no setting is near", () =>
  Effect.gen(function* () {
    assert.deepStrictEqual(yield* unknown({ SPILLWAY_FAVOURITE_COLOUR: "blue" }), [
      "SPILLWAY_FAVOURITE_COLOUR is no setting and changes nothing."
    ])
  })
)

it.effect("says that a setting of an earlier release was removed, and what applies now", () =>
  Effect.gen(function* () {
    assert.deepStrictEqual(yield* unknown({ SPILLWAY_SWEEP_INTERVAL: "1 second" }), [
      "SPILLWAY_SWEEP_INTERVAL was removed and changes nothing: its value is now fixed at 30 seconds. Delete the variable."
    ])
  })
)

it.effect("overrides a constant from a layer, but from no environment variable", () =>
  Effect.gen(function* () {
    const settings = { size: Settings.constant(Settings.bytes("SIZE", "64 KiB", "A size.")) }
    const environment = ConfigProvider.fromEnvRecord({ SPILLWAY_SIZE: "no size", SIZE: "no size" })
    const read = Settings.read(settings).pipe(Effect.provideService(ConfigProvider.ConfigProvider, environment))
    assert.deepStrictEqual(yield* read, { size: 65_536 })
    const other = yield* Effect.provideService(read, Settings.Constants, { SIZE: "1 KiB" })
    assert.deepStrictEqual(other, { size: 1_024 })
    const wrong = yield* Effect.flip(Effect.provideService(read, Settings.Constants, { SIZE: "no size" }))
    assert.deepStrictEqual(
      wrong.problems.map(({ env }) => env),
      ["SIZE"]
    )
  })
)

it.effect("ignores an orchestrator's variables for a service of this name", () =>
  Effect.gen(function* () {
    const service = {
      SPILLWAY_SERVICE_HOST: "10.0.0.1",
      SPILLWAY_SERVICE_PORT: "80",
      SPILLWAY_SERVICE_PORT_HTTP: "80",
      SPILLWAY_PORT_80_TCP: "tcp://10.0.0.1:80",
      SPILLWAY_PORT_80_TCP_ADDR: "10.0.0.1"
    }
    assert.deepStrictEqual(yield* unknown(service), [])
  })
)

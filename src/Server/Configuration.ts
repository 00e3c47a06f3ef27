/** Composition: all settings of the program, for its start, for `spillway config` and for docs/configuration.md. */
import { Effect, Option, Redacted } from "effect"
import { BulkheadConfig } from "../Bulkhead/BulkheadConfig.ts"
import { ChatConfig } from "../Chat/ChatConfig.ts"
import { CliConfig } from "../Cli/CliConfig.ts"
import { DbConfig } from "../Db/DbConfig.ts"
import * as ConnectionUrl from "../Db/External/ConnectionUrl.ts"
import { FinalizationConfig } from "../Finalization/FinalizationConfig.ts"
import { HttpConfig } from "../Http/HttpConfig.ts"
import { JwtConfig } from "../Auth/Jwt/JwtConfig.ts"
import { KeysConfig } from "../Auth/KeysConfig.ts"
import { ReadinessConfig } from "../Readiness/ReadinessConfig.ts"
import { NodeConfig } from "../NodeConfig.ts"
import { PlaybackConfig } from "../Playback/PlaybackConfig.ts"
import { PrecacheConfig } from "../Precache/PrecacheConfig.ts"
import { PusherConfig } from "../Pusher/PusherConfig.ts"
import { RecordingConfig } from "../Recording/RecordingConfig.ts"
import { RetentionConfig } from "../Purges/Retention/RetentionConfig.ts"
import { SpeakerSamplesConfig } from "../SpeakerSamples/SpeakerSamplesConfig.ts"
import * as Settings from "../Settings.ts"
import { StreamsConfig } from "../Streams/StreamsConfig.ts"
import { ProtectionConfig } from "../Encryption/ProtectionConfig.ts"
import { GcsConfig } from "../Storage/Gcs/GcsConfig.ts"
import { StorageConfig } from "../Storage/StorageConfig.ts"
import { UsersConfig } from "../Users/UsersConfig.ts"
import { WebhooksConfig } from "../Webhooks/WebhooksConfig.ts"
import { TelemetryConfig } from "../Telemetry/TelemetryConfig.ts"

export const groups = [
  NodeConfig,
  HttpConfig,
  KeysConfig,
  JwtConfig,
  ReadinessConfig,
  DbConfig,
  StorageConfig,
  GcsConfig,
  ProtectionConfig,
  UsersConfig,
  WebhooksConfig,
  BulkheadConfig,
  RecordingConfig,
  PusherConfig,
  PlaybackConfig,
  PrecacheConfig,
  RetentionConfig,
  FinalizationConfig,
  SpeakerSamplesConfig,
  ChatConfig,
  StreamsConfig,
  TelemetryConfig
] as const

/** Settings of the server and of the commands, which can share one environment. */
export const names = Settings.namesOf([...groups, CliConfig])

export const layer = Settings.layerAll(names, ...groups)

export const layerWarnings = Settings.layerWarnings(names)

/** Fails if the parameters in `DATABASE_URL` can't be used. The start reads them when it connects. */
export const checkDatabaseUrl = Effect.gen(function* () {
  const { url } = yield* DbConfig
  if (Option.isSome(url)) yield* ConnectionUrl.parse(Redacted.value(url.value))
}).pipe(Effect.provide(DbConfig.layer))

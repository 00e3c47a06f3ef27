/** Composition: the server. */
import "./ThreadPool.ts"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Layer } from "effect"
import { StorageBulkheads } from "./Bulkhead.ts"
import * as Configuration from "./Server/Configuration.ts"
import * as DataDirectory from "./Server/DataDirectory.ts"
import * as CommonProblems from "./Server/CommonProblems.ts"
import * as Database from "./Db/Database.ts"
import * as AdminKey from "./Auth/AdminKey.ts"
import * as Announcement from "./Server/Announcement.ts"
import * as Checks from "./Server/Checks.ts"
import { Deletion } from "./Deletion.ts"
import * as Janitor from "./Deletion/Janitor.ts"
import * as Janitors from "./Server/Janitors.ts"
import * as PublicAddress from "./Server/PublicAddress.ts"
import * as Server from "./Http/Server.ts"
import { Readiness } from "./Readiness.ts"
import { Authentication, Jwts } from "./Auth.ts"
import * as Keys from "./Auth/Keys.ts"
import { launch } from "./Server/Launch.ts"
import * as PrecacheJanitor from "./Precache/Janitor.ts"
import * as Pusher from "./Pusher.ts"
import { Recording } from "./Recording.ts"
import * as Routes from "./Server/Routes.ts"
import * as Settings from "./Settings.ts"
import * as ConfiguredStorage from "./Server/ConfiguredStorage.ts"
import * as UsedSecrets from "./Encryption/UsedSecrets.ts"
import * as Telemetry from "./Telemetry.ts"

const program = Layer.mergeAll(Announcement.layer, Pusher.layerDrain, Janitor.layer).pipe(
  Layer.provideMerge(Server.serve(Routes.layer)),
  Layer.provide([Authentication.layerAuthorization, Janitors.layer]),
  Layer.provide([Authentication.layer, PrecacheJanitor.layer, Pusher.layer, AdminKey.layer, Checks.layer]),
  Layer.provide([Keys.layer, Jwts.layer, Recording.layer, Deletion.layer, CommonProblems.layer]),
  Layer.provide([StorageBulkheads.layer, UsedSecrets.layer, ConfiguredStorage.layerLog]),
  Layer.provide([Database.layer, ConfiguredStorage.layer]),
  Layer.provide([Server.layer, PublicAddress.layer, Configuration.layerWarnings]),
  Layer.provide([DataDirectory.layer, Readiness.layer]),
  Layer.provide(Telemetry.layer),
  Layer.provide(Configuration.layer),
  Layer.provide([NodeServices.layer, Settings.layerEnvironment])
)
launch(program satisfies Layer.Layer<never, unknown>)

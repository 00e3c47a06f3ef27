/** The paths that upgrade to a WebSocket. On other paths the offer of an upgrade is ignored. */
import { Context } from "effect"
import type { Effect } from "effect"
import type { IncomingMessage } from "node:http"

export class Upgrades extends Context.Service<
  Upgrades,
  {
    /** Accepts `Upgrade: websocket` on this path, in which `:name` is one segment. */
    add(path: string): Effect.Effect<void>
    /** Bytes that the client sent after its handshake; `undefined` if the request is not an upgrade. */
    head(request: IncomingMessage): Buffer | undefined
  }
>()("spillway/Http/Upgrade/Upgrades") {}

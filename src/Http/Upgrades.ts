/** The paths that upgrade to a WebSocket. Any other request that offers an upgrade gets its ordinary response. */
import { Context } from "effect"
import type { Effect } from "effect"
import type { IncomingMessage } from "node:http"

export class Upgrades extends Context.Service<
  Upgrades,
  {
    /** From now on `Upgrade: websocket` is accepted on this path. */
    add(path: string): Effect.Effect<void>
    /** What the client sent right behind its handshake; `undefined` when the request did not come as an upgrade. */
    head(request: IncomingMessage): Buffer | undefined
  }
>()("spillway/Http/Upgrades") {}

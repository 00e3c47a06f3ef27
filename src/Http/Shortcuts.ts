/**
 * Answers that need neither a route nor its parameters decoded. Effect's server takes a third of the time of a short response
 * for its fiber, its scope, the route and the middleware.
 */
import { Context, type Effect, type Scope } from "effect"
import type { IncomingMessage, ServerResponse } from "node:http"

/**
 * Returns false to leave a GET request without a body to its route. After true it answers, or calls `decline` before it has
 * written anything: then the route answers.
 */
export type Shortcut = (request: IncomingMessage, response: ServerResponse, decline: () => void) => boolean

export class Shortcuts extends Context.Service<
  Shortcuts,
  {
    /** Until the scope closes. The shortcut gives the same answers as the route of these paths. */
    add(shortcut: Shortcut): Effect.Effect<void, never, Scope.Scope>
  }
>()("spillway/Http/Shortcuts") {}

/** Where clients reach this node. */
import { Context } from "effect"

export class PublicUrl extends Context.Service<
  PublicUrl,
  {
    /** Without a slash at its end. Right once the server listens, if it took any free port. */
    readonly base: () => string
    /** The server says which port it has. */
    readonly listening: (port: number) => void
  }
>()("spillway/PublicUrl") {}

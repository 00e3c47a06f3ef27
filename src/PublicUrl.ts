/** The URL at which clients reach this node. */
import { Context } from "effect"

export class PublicUrl extends Context.Service<
  PublicUrl,
  {
    /** Without a trailing slash. With port 0 it is correct once the server listens. */
    readonly base: () => string
    readonly setPort: (port: number) => void
  }
>()("spillway/PublicUrl") {}

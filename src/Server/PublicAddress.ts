/** The node's public URL, as set, or as it listens. */
import { Effect, Layer, Option } from "effect"
import { PublicUrl } from "../PublicUrl.ts"
import { HttpConfig } from "../Http/HttpConfig.ts"

const everywhere = ["0.0.0.0", "::"]

const originOf = (host: string, port: number): string => {
  const name = everywhere.includes(host) ? "localhost" : host
  return `http://${name.includes(":") ? `[${name}]` : name}:${port}`
}

export const layer = Layer.effect(
  PublicUrl,
  Effect.gen(function* () {
    const { host, port, publicUrl } = yield* HttpConfig
    let own = originOf(host, port)
    return PublicUrl.of({
      base: () => Option.getOrElse(publicUrl, () => own).replace(/\/+$/, ""),
      listening: (port) => {
        own = originOf(host, port)
      }
    })
  })
)

/** The node's public URL: the setting, or the address that the node listens on. */
import { Effect, Layer, Option } from "effect"
import { PublicUrl } from "../PublicUrl.ts"
import { HttpConfig } from "../Http/HttpConfig.ts"

const wildcards = ["0.0.0.0", "::"]

const originOf = (host: string, port: number): string => {
  const name = wildcards.includes(host) ? "localhost" : host
  return `http://${name.includes(":") ? `[${name}]` : name}:${port}`
}

export const layer = Layer.effect(
  PublicUrl,
  Effect.gen(function* () {
    const { host, port, publicUrl } = yield* HttpConfig
    let own = originOf(host, port)
    return PublicUrl.of({
      base: () => Option.getOrElse(publicUrl, () => own).replace(/\/+$/, ""),
      setPort: (port) => {
        own = originOf(host, port)
      }
    })
  })
)

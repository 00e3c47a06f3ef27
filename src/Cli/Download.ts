/** Brings one audio file to where it should go, and goes on where a cut left it. */
import { Effect, Option, Stream } from "effect"
import { HttpClientRequest, type HttpClientResponse } from "effect/http"
import { CliConfig } from "./CliConfig.ts"
import * as Client from "./Client.ts"
import { Disconnected } from "./Connection.ts"
import type { Destination } from "./Destination.ts"
import * as Reconnect from "./Reconnect.ts"
import { Screen } from "./Screen.ts"
import type * as Target from "./Target.ts"

/** Bytes of the whole file, as a response to all or a range of it says. */
const sizeOf = ({ headers, status }: HttpClientResponse.HttpClientResponse): Option.Option<number> => {
  const text = status === 206 ? /\/(\d+)$/.exec(headers["content-range"] ?? "")?.[1] : headers["content-length"]
  return Option.filter(Option.some(Number(text)), Number.isSafeInteger)
}

/** What the next request asks for: all, or what is missing of the version that is begun. */
const ask = (path: string, begun: { readonly bytes: number; readonly etag: string | undefined }) =>
  HttpClientRequest.get(path).pipe(
    begun.bytes > 0 && begun.etag !== undefined
      ? HttpClientRequest.setHeaders({ range: `bytes=${begun.bytes}-`, "if-range": begun.etag })
      : (all) => all
  )

const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`

export const Download = {
  run: Effect.fnUntraced(function* (options: {
    readonly target: Target.Server
    readonly path: string
    readonly to: Destination
  }) {
    const config = yield* CliConfig
    const screen = yield* Screen
    const { to } = options
    let bytes = 0
    let etag: string | undefined

    const attempt = Effect.gen(function* () {
      const response = yield* Client.send(options.target, ask(options.path, { bytes, etag })).pipe(
        Effect.mapError(({ message }) => new Disconnected({ reason: message }))
      )
      if (response.status !== 200 && response.status !== 206) {
        return yield* Effect.flip(Effect.map(Client.refusal(response), Disconnected.by))
      }
      // Another version than the one begun, or a server without ranges: from the start.
      if (response.status === 200) {
        yield* to.restart
        bytes = 0
      }
      etag = response.headers["etag"]
      const size = sizeOf(response)
      yield* response.stream.pipe(
        Stream.mapError(() => new Disconnected({ reason: "The connection broke" })),
        Stream.timeoutOrElse({
          duration: config.patience,
          orElse: () => Stream.fail(new Disconnected({ reason: "The server went silent" }))
        }),
        Stream.runForEach((chunk) =>
          to.write(chunk).pipe(
            Effect.andThen(Effect.sync(() => void (bytes += chunk.length))),
            Effect.andThen(
              Effect.suspend(() => {
                const whole = Option.getOrElse(size, () => bytes)
                return screen.progress(bytes / whole, `${megabytes(bytes)} of ${megabytes(whole)}`)
              })
            )
          )
        )
      )
      if (Option.isSome(size) && bytes < size.value) {
        return yield* new Disconnected({ reason: "The connection broke" })
      }
    })

    yield* Reconnect.reconnecting(
      attempt,
      Effect.sync(() => bytes),
      config
    )
    yield* to.finish
    return bytes
  })
}

/** Downloads one file and resumes after broken connections. */
import { Effect, Option, Stream } from "effect"
import { HttpClientRequest, type HttpClientResponse } from "effect/http"
import { CliConfig } from "../CliConfig.ts"
import * as Client from "../Client.ts"
import type { Destination } from "./Destination.ts"
import * as Reconnect from "../Reconnect.ts"
import { Screen } from "../Screen.ts"
import type * as Target from "../Target.ts"
import * as Format from "../Format.ts"

/** Size of the WAV header. */
const headerBytes = 44

/** Bytes of the whole file, from `Content-Range` or `Content-Length`. */
const sizeOf = ({ headers, status }: HttpClientResponse.HttpClientResponse): Option.Option<number> => {
  const text = status === 206 ? /\/(\d+)$/.exec(headers["content-range"] ?? "")?.[1] : headers["content-length"]
  return Option.filter(Option.some(Number(text)), Number.isSafeInteger)
}

interface Source {
  readonly path: string
  readonly query?: Readonly<Record<string, string>>
}

/** Requests the whole file, or the rest of the version already begun. */
const ask = ({ path, query = {} }: Source, begun: { readonly bytes: number; readonly etag: string | undefined }) =>
  HttpClientRequest.get(path, { urlParams: query }).pipe(
    begun.bytes > 0 && begun.etag !== undefined
      ? HttpClientRequest.setHeaders({ range: `bytes=${begun.bytes}-`, "if-range": begun.etag })
      : (all) => all
  )

const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`

interface Options extends Source {
  readonly target: Target.Server
  readonly to: Destination
  /** Duration of the audio, if it is known. */
  readonly seconds?: number
  /** Which of several downloads this is, from 1; for the progress. */
  readonly part?: { readonly number: number; readonly of: number }
}

export const run = Effect.fnUntraced(function* (options: Options) {
  const config = yield* CliConfig
  const screen = yield* Screen
  const { part = { number: 1, of: 1 }, to } = options
  const label = part.of === 1 ? "" : `audio file ${part.number} of ${part.of}, `
  let bytes = 0
  let etag: string | undefined
  let whole = Number.POSITIVE_INFINITY

  /** Always retried: if the audio is unreadable, the request for the rest gets that as its response. */
  const aborted = Effect.suspend(() => {
    const { seconds } = options
    const clock = seconds === undefined ? "" : ` (${Format.clock(seconds * Math.min(1, bytes / whole))})`
    return new Reconnect.Disconnected({ reason: `The server cut the response at byte ${bytes}${clock}` })
  })
  const silent = new Reconnect.Disconnected({ reason: "The server went silent" })

  const attempt = Effect.gen(function* () {
    const response = yield* Client.send(options.target, ask(options, { bytes, etag })).pipe(
      Effect.catchTag("Unreachable", (error) =>
        error.isAborted === true ? aborted : new Reconnect.Disconnected({ reason: error.message })
      ),
      Effect.timeoutOrElse({ duration: config.patience, orElse: () => silent })
    )
    if (response.status !== 200 && response.status !== 206) {
      return yield* Effect.flip(Effect.map(Client.errorOf(response), Reconnect.Disconnected.by))
    }
    // Status 200 means another version, or a server without ranges.
    if (response.status === 200) {
      yield* to.restart
      bytes = 0
    }
    etag = response.headers["etag"]
    const size = sizeOf(response)
    whole = Option.getOrElse(size, () => Number.POSITIVE_INFINITY)
    yield* response.stream.pipe(
      Stream.catch(() => Stream.fromEffect(aborted)),
      Stream.timeoutOrElse({ duration: config.patience, orElse: () => Stream.fail(silent) }),
      Stream.runForEach((chunk) =>
        to.write(chunk).pipe(
          Effect.andThen(Effect.sync(() => void (bytes += chunk.length))),
          Effect.andThen(
            Effect.suspend(() => {
              const all = Option.getOrElse(size, () => bytes)
              const fraction = (part.number - 1 + bytes / all) / part.of
              return screen.progress(fraction, `${label}${megabytes(bytes)} of ${megabytes(all)}`)
            })
          )
        )
      )
    )
    if (Option.isSome(size) && bytes < size.value) return yield* aborted
  })

  const leave = Effect.gen(function* () {
    const left = yield* to.abandon(bytes > headerBytes)
    if (Option.isSome(left)) yield* screen.print(`The partial download is in ${left.value}.`)
  })

  yield* Reconnect.reconnecting(
    attempt,
    Effect.sync(() => bytes),
    config
  ).pipe(Effect.onError(() => Effect.ignore(leave)))
  yield* to.finish
  return bytes
})

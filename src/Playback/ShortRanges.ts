/**
 * Answers short ranges of stored audio with one write, if everything but their bytes is in memory. The routes answer all other
 * requests, and would give the same answers.
 */
import type { IncomingMessage, ServerResponse } from "node:http"
import { Context, Effect, Exit, Layer, Option } from "effect"
import { RangeRequest } from "../Http.ts"
import { Playback, type Rendition } from "../Playback.ts"
import { ReadBuffers } from "../Storage.ts"
import type { Format } from "./AudioApi.ts"
import { FirstAudio } from "./FirstAudio.ts"
import { ListenerSeats } from "./ListenerSeats.ts"
import { atOnceBytes, resultOf } from "./Rendition/Rendition.ts"
import * as RenditionResponse from "./Rendition/RenditionResponse.ts"

interface RequestedFile {
  readonly uid: string
  readonly conversation: string
  readonly file: string
  readonly format: typeof Format.Type
}

interface CachedHeaders {
  readonly conversation: string
  readonly etag: string
  readonly headers: ReturnType<typeof RenditionResponse.partHeaders>
}

export class ShortRanges extends Context.Service<
  ShortRanges,
  {
    /** See `Shortcut`. The caller has checked that the request may play `requested`. */
    answer(request: IncomingMessage, response: ServerResponse, requested: RequestedFile, decline: () => void): boolean
  }
>()("spillway/Playback/ShortRanges") {
  static readonly layer = Layer.effect(
    ShortRanges,
    Effect.gen(function* () {
      const playback = yield* Playback
      const seats = yield* ListenerSeats
      const firstAudio = yield* FirstAudio
      const fork = Effect.runForkWith(yield* Effect.context<never>())

      const openRange = ({ headers }: IncomingMessage, { conversation, file, format, uid }: RequestedFile) => {
        const ifRange = headers["if-range"]
        if (Array.isArray(ifRange) || headers["if-match"] !== undefined || headers["if-none-match"] !== undefined)
          return undefined
        const range = RangeRequest.expectedRange(headers.range)
        if (range === undefined || range.end - range.start > atOnceBytes) return undefined
        const found = resultOf(playback.open(uid, conversation, file, format, range)) ?? Option.none()
        if (Option.isNone(found) || !RangeRequest.isSameRange(ifRange, found.value.etag)) return undefined
        const read = found.value.readWhole?.(range)
        return read === undefined ? undefined : { rendition: found.value, range, read }
      }

      /** The last headers of each connection, which nearly always reads the same file. */
      const last = new WeakMap<object, CachedHeaders>()
      const headersOf = (connection: object, { conversation }: RequestedFile, rendition: Rendition) => {
        const { etag } = rendition
        const before = last.get(connection)
        if (before?.etag === etag && before.conversation === conversation) return before.headers
        const headers = RenditionResponse.partHeaders(conversation, rendition)
        last.set(connection, { conversation, etag, headers })
        return headers
      }

      return ShortRanges.of({
        answer: (request, response, requested, decline) => {
          const found = openRange(request, requested)
          const leave = found === undefined ? undefined : seats.tryTake(requested.uid)
          if (found === undefined || leave === undefined) return false
          const { range, read, rendition } = found
          const fiber = fork(firstAudio.within(request, requested.conversation, read))
          const onClose = () => {
            leave()
            fiber.interruptUnsafe()
          }
          response.once("close", onClose)
          fiber.addObserver((exit) => {
            if (response.destroyed) return
            if (Exit.isFailure(exit)) {
              response.off("close", onClose)
              leave()
              return decline()
            }
            response.writeHead(206, {
              ...headersOf(request.socket, requested, rendition),
              "content-range": RenditionResponse.contentRange(range, rendition.size),
              "content-length": range.end - range.start
            })
            const pieces = exit.value
            if (pieces.length > 1) response.cork()
            for (const piece of pieces.slice(0, -1)) response.write(piece)
            response.end(pieces.at(-1), (error?: Error | null) => {
              if (error === undefined || error === null) pieces.forEach(ReadBuffers.giveBack)
            })
          })
          return true
        }
      })
    })
  )
}

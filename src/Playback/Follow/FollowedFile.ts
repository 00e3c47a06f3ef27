/** An audio file that grows. It is polled, and new audio is read, once for all responses that follow it. */
import { Clock, Deferred, Duration, Effect, Exit, Option, type Scope, Stream } from "effect"
import { Wav } from "../../Audio.ts"
import * as BackgroundLoop from "../../BackgroundLoop.ts"
import type { DbError } from "../../Db.ts"
import type { Problem } from "../../Http.ts"
import * as PieceStream from "../Rendition/PieceStream.ts"
import type { Pieces, Playback, PlaybackConfig, RenditionFailure } from "../../Playback.ts"
import { AudioFileChanged, type RecordedFile, type Recording } from "../../Recording.ts"

export type FollowFailure = RenditionFailure | Problem

export type Snapshot = Pick<RecordedFile, "samples" | "sampleRate">

export interface FileName {
  readonly uid: string
  readonly conversation: string
  readonly id: string
}

interface Part {
  readonly audio: Stream.Stream<Pieces, FollowFailure>
  readonly to: number
}

export interface FollowedFile {
  /** The latest snapshot. */
  readonly file: () => RecordedFile
  /** What is durable from sample `at` to `to`, as soon as there is any. Undefined at the end of the file. */
  readonly after: (at: number) => Effect.Effect<Part | undefined, FollowFailure>
}

interface Growth {
  readonly from: number
  readonly to: number
  readonly bytes: Uint8Array
}

/** The latest growths stay in memory, of up to `growthBytes` each. A slower response, and a longer growth, is read again. */
const keptGrowths = 8
const growthBytes = 128 * 1024

const retryAfter = Duration.seconds(5)

/** The audio behind `before`, if that is unchanged. */
const growthOf = Effect.fnUntraced(function* (before: RecordedFile, now: RecordedFile) {
  if (now.version !== before.version || now.samples < before.samples) return undefined
  let captured = 0
  let first
  for (let at = before.samples; at < now.samples;) {
    const page = yield* now.pieces(at, now.samples)
    for (const { offset, samples } of page.pieces)
      captured += Math.max(0, Math.min(page.end, offset + samples) - Math.max(at, offset))
    first ??= page
    at = page.end
  }
  // Audio that is inserted after the stored chunks does not change the version.
  return now.capturedSamples - captured === before.capturedSamples ? { first } : undefined
})

const bytesOf = ({ from, to }: Pick<Growth, "from" | "to">): Wav.Range => ({
  start: from * Wav.bytesPerSample,
  end: to * Wav.bytesPerSample
})

interface Services {
  readonly recording: Recording["Service"]
  readonly playback: Playback["Service"]
  readonly config: PlaybackConfig["Service"]
  readonly stopped: Effect.Effect<never, Problem>
  readonly onOver: (name: FileName) => Effect.Effect<void>
}

/** None if the user has no such file. Followed until the scope closes. */
export const make = Effect.fnUntraced(function* (
  { config, onOver, playback, recording, stopped }: Services,
  name: FileName
): Effect.fn.Return<Option.Option<FollowedFile>, FollowFailure | DbError, Scope.Scope> {
  const { conversation, id, uid } = name
  const progress = recording.progress({ uid, conversation })
  const snapshot = recording.growing(uid, conversation, id)
  const graceMillis = Duration.toMillis(config.followGrace)

  let { end: seen, isGrowing } = yield* progress
  const opened = yield* snapshot
  if (Option.isNone(opened)) return Option.none()
  let { file } = opened.value
  let growths: ReadonlyArray<Growth> = []
  let growingAt = yield* Clock.currentTimeMillis
  let ended: Exit.Exit<undefined, FollowFailure> | undefined
  let news = Deferred.makeUnsafe<void>()
  const notify = () => {
    const awaited = news
    news = Deferred.makeUnsafe()
    Deferred.doneUnsafe(awaited, Exit.void)
  }
  const end = (exit: Exit.Exit<undefined, FollowFailure>) =>
    Effect.sync(() => {
      ended ??= exit
      notify()
    }).pipe(Effect.andThen(onOver(name)))
  if (!isGrowing || !opened.value.isLast) yield* end(Exit.succeed(undefined))

  const read = (of: RecordedFile, span: Pick<Growth, "from" | "to">) =>
    PieceStream.streamOf(playback.render(uid, of, "pcm"), bytesOf(span))

  const share = Effect.fnUntraced(function* (of: RecordedFile, span: Pick<Growth, "from" | "to">) {
    const pieces = yield* Stream.runCollect(read(of, span))
    // Copied, because the buffers of a response are used again when they are sent.
    growths = [...growths, { ...span, bytes: Buffer.concat(pieces.flat()) }].slice(-keptGrowths)
  })

  const grow = Effect.fnUntraced(function* (now: RecordedFile) {
    const growth = yield* growthOf(file, now)
    if (growth === undefined) return yield* new AudioFileChanged({ uid, conversation, file: id })
    const span = { from: file.samples, to: now.samples }
    const { first } = growth
    const isShort = (span.to - span.from) * Wav.bytesPerSample <= growthBytes
    // On a failure each response reads it itself, and fails with the reason.
    if (first !== undefined && first.end === span.to && isShort)
      yield* Effect.ignore(share({ ...now, pieces: () => Effect.succeed(first) }, span))
    file = now
  })

  const poll = Effect.gen(function* () {
    if (ended !== undefined) return
    const { end: durable, isGrowing } = yield* progress
    const now = yield* Clock.currentTimeMillis
    if (isGrowing) growingAt = now
    if (durable === seen && !isGrowing && now - growingAt >= graceMillis) return yield* end(Exit.succeed(undefined))
    if (durable === seen) return
    const found = yield* snapshot
    if (Option.isNone(found)) return yield* new AudioFileChanged({ uid, conversation, file: id })
    yield* grow(found.value.file)
    seen = durable
    if (found.value.isLast) notify()
    else yield* end(Exit.succeed(undefined))
  }).pipe(
    Effect.catchTag("AudioFileChanged", (error) =>
      Effect.andThen(
        Effect.annotateLogs(Effect.logWarning("an audio file changed while it was followed, its responses are cut"), {
          uid,
          conversation,
          file: id
        }),
        end(Exit.fail(error))
      )
    )
  )
  yield* BackgroundLoop.fork(Effect.as(poll, config.followInterval), {
    failed: "new audio of a followed file can't be read",
    retryAfter
  })
  yield* Effect.forkScoped(Effect.catch(stopped, (error) => end(Exit.fail(error))))

  const after = (at: number): Effect.Effect<Part | undefined, FollowFailure> =>
    Effect.suspend(() => {
      if (ended !== undefined && Exit.isFailure(ended)) return ended
      const growth = growths.find(({ from }) => from === at)
      if (growth !== undefined) return Effect.succeed({ audio: Stream.succeed([growth.bytes]), to: growth.to })
      const to = file.samples
      if (at < to) return Effect.succeed({ audio: read(file, { from: at, to }), to })
      return ended ?? Effect.andThen(Deferred.await(news), after(at))
    })
  return Option.some({ file: () => file, after })
})

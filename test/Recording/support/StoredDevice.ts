/** A device on a node that has stored 30 seconds of its conversation, and what is heard of it. */
import { Deferred, Effect } from "effect"
import type { SqlClient } from "effect/sql"
import { Recording, type RecordingConfig } from "../../../src/Recording.ts"
import type { ChunkRows } from "../../../src/Recording/Catalog/ChunkRows.ts"
import { LiveConversations } from "../../../src/Recording/Journal/LiveConversations.ts"
import type { Uploads } from "../../../src/Recording/Upload/Uploads.ts"
import type { Storage } from "../../../src/Storage.ts"
import { temporaryDirectory } from "../../support/TemporaryDirectory.ts"
import { chunksOf, epoch, type Hooks, idle, inWorld, leaveJournal, node, rate, record } from "./StoringNode.ts"
import { ramp } from "./TestNode.ts"

export interface Sent {
  readonly start: number
  readonly audio: Uint8Array
}

/** A device in the conversation, as long as the scope. */
export const open = Effect.gen(function* () {
  const recording = yield* Recording
  const received = { bytes: 0, shifts: new Array<number>() }
  const failed = yield* Deferred.make<string>()
  let room = yield* Deferred.make<void>()
  const capture = yield* recording.open({
    uid: "u",
    sampleRate: rate,
    codec: "pcm16",
    exact: true,
    onAck: ({ bytes }) => {
      received.bytes = bytes
    },
    onRoom: () => Deferred.doneUnsafe(room, Effect.void),
    onFailure: ({ _tag }) => Deferred.doneUnsafe(failed, Effect.succeed(_tag)),
    onShift: (seconds) => received.shifts.push(Math.round(seconds * 1000) / 1000)
  })
  capture.switchTo("c")
  yield* Deferred.await(room)
  const send = Effect.fnUntraced(function* (frames: ReadonlyArray<Sent>) {
    for (const { audio, start } of frames) {
      room = yield* Deferred.make<void>()
      if (capture.append(start, audio) === "full") yield* Deferred.await(room)
    }
  })
  return { received, send, failed }
})

/** Sends as one device does, and ends; returns what it received. */
export const send = (frames: ReadonlyArray<Sent>) =>
  Effect.flatMap(open, (device) => Effect.as(device.send(frames), device.received)).pipe(Effect.scoped)

export const frames = (from: number, to: number, length: number, source = 0): ReadonlyArray<Sent> =>
  Array.from({ length: Math.ceil((to - from) / length) }, (_, index) => {
    const at = from + index * length
    return { start: epoch + at / rate, audio: ramp(Math.min(length, to - at), source + at) }
  })

export const onNode = <A, E>(
  test: Effect.Effect<A, E, ChunkRows | LiveConversations | Recording | Storage | SqlClient.SqlClient | Uploads>,
  hooks: Hooks = {},
  config: Partial<RecordingConfig["Service"]> = {}
) =>
  Effect.gen(function* () {
    const dataDir = yield* temporaryDirectory
    yield* record(30 * rate).pipe(
      Effect.andThen(idle),
      Effect.provide(node(dataDir, { level: hooks.level ?? "standard" }))
    )
    return yield* Effect.provide(Effect.andThen(leaveJournal, test), node(dataDir, hooks, config))
  }).pipe(inWorld)

/** Waits until what is stored of the conversation is known: it is tried again and again. */
export const loaded = Effect.gen(function* () {
  const live = yield* LiveConversations
  while (live.get("u", "c")?.loaded !== true) yield* Effect.sleep("5 millis")
})

/** So many bytes of the conversation are on disk. */
export const durable = (bytes: number) =>
  Effect.gen(function* () {
    const live = yield* LiveConversations
    const now = () => [...(live.get("u", "c")?.chunks ?? [])].reduce((sum, chunk) => sum + chunk.durable, 0)
    while (now() < bytes) yield* Effect.sleep("5 millis")
  })

export const heard = Effect.map(chunksOf("u", "c"), ({ audio }) => audio)

/** The report of `spillway gc`: a file of JSON lines, one for each finding, read and written as a stream. */
import { Effect, FileSystem, Option, Schema, Stream } from "effect"
import type { PlatformError, Scope } from "effect"
import { systemReason } from "../../SystemReason.ts"

const Begin = Schema.TaggedStruct("begin", {
  format: Schema.Literal("spillway-gc-1"),
  store: Schema.String,
  database: Schema.String
})
const Orphan = Schema.TaggedStruct("orphan", {
  key: Schema.String,
  generation: Schema.String,
  bytes: Schema.Finite,
  created_at: Schema.DateTimeUtcFromString
})
const Missing = Schema.TaggedStruct("missing", {
  key: Schema.String,
  uid: Schema.String,
  conversation: Schema.String
})
const Damaged = Schema.TaggedStruct("damaged", { key: Schema.String, reason: Schema.String })
const End = Schema.TaggedStruct("end", {
  finished_at: Schema.DateTimeUtcFromString,
  objects: Schema.Int,
  rows: Schema.Int,
  orphans: Schema.Int,
  orphan_bytes: Schema.Finite,
  missing: Schema.Int,
  damaged: Schema.Int,
  young: Schema.Int,
  other: Schema.Int,
  foreign: Schema.Int
})
const Line = Schema.Union([Begin, Orphan, Missing, Damaged, End])
export type Line = typeof Line.Type
export type Orphan = typeof Orphan.Type
export type End = typeof End.Type

const LineText = Schema.fromJsonString(Line)
const encode = Schema.encodeEffect(LineText)
const decode = Schema.decodeEffect(LineText)

/** The file can't be read or written. `reason` is the system's. */
export class ReportUnusable extends Schema.TaggedError<ReportUnusable>()("ReportUnusable", {
  operation: Schema.Literals(["read", "write"]),
  path: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `Can't ${this.operation} the report ${this.path} (${this.reason}).`
  }
}

/** The report can't be used to delete. `reason` continues the sentence that begins with the path. */
export class ReportRejected extends Schema.TaggedError<ReportRejected>()("ReportRejected", {
  path: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `Nothing was deleted: ${this.path} ${this.reason}. Run \`spillway gc\` again, and delete by its report.`
  }
}

const unusable = (operation: ReportUnusable["operation"], path: string) => (error: PlatformError.PlatformError) =>
  new ReportUnusable({ operation, path, reason: systemReason(error) })

export interface Writer {
  write(lines: ReadonlyArray<Line>): Effect.Effect<void, ReportUnusable>
  /** Makes what was written durable. */
  readonly sync: Effect.Effect<void, ReportUnusable>
}

/** Replaces the file. Only a report with its last line, `end`, is complete. */
export const create = Effect.fnUntraced(function* (
  path: string
): Effect.fn.Return<Writer, ReportUnusable, FileSystem.FileSystem | Scope.Scope> {
  const fs = yield* FileSystem.FileSystem
  const fail = unusable("write", path)
  const file = yield* Effect.mapError(fs.open(path, { flag: "w" }), fail)
  return {
    write: Effect.fnUntraced(function* (lines) {
      const texts = yield* Effect.orDie(Effect.forEach(lines, (line) => encode(line)))
      const bytes = new TextEncoder().encode(texts.map((text) => `${text}\n`).join(""))
      yield* Effect.mapError(file.writeAll(bytes), fail)
    }),
    sync: Effect.mapError(file.sync, fail)
  }
})

export function read(path: string): Stream.Stream<Line, ReportUnusable | ReportRejected, FileSystem.FileSystem> {
  return Stream.unwrap(Effect.map(FileSystem.FileSystem, (fs) => fs.stream(path))).pipe(
    Stream.mapError(unusable("read", path)),
    Stream.decodeText,
    Stream.splitLines,
    Stream.mapEffect((line) =>
      Effect.mapError(decode(line), () => new ReportRejected({ path, reason: "is not a report of `spillway gc`" }))
    )
  )
}

/** The first and the last line of a complete report; the lines between are as many as the last one says. */
export const check = Effect.fnUntraced(function* (path: string) {
  let lines = 0
  let orphans = 0
  let begin: Option.Option<typeof Begin.Type> = Option.none()
  let last: Option.Option<Line> = Option.none()
  yield* Stream.runForEach(read(path), (line) =>
    Effect.sync(() => {
      if (lines++ === 0 && line._tag === "begin") begin = Option.some(line)
      if (line._tag === "orphan") orphans++
      last = Option.some(line)
    })
  )
  const reject = (reason: string) => new ReportRejected({ path, reason })
  const end = Option.filter(last, (line): line is End => line._tag === "end")
  if (Option.isNone(begin)) return yield* reject("is not a report of `spillway gc`")
  if (Option.isNone(end)) return yield* reject("is incomplete: its dry run was stopped")
  if (orphans !== end.value.orphans) return yield* reject("was changed")
  return { begin: begin.value, end: end.value }
})

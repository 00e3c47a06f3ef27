/** The report of `spillway gc`: a file of JSON lines, one for each finding, read and written as a stream. */
import { crc32c } from "@node-rs/crc32"
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
  foreign: Schema.Int,
  /** Of all lines; of this one with a sum of 0. */
  crc32c: Schema.Int
})
const Line = Schema.Union([Begin, Orphan, Missing, Damaged, End])
export type Line = typeof Line.Type
export type Orphan = typeof Orphan.Type
export type End = typeof End.Type
export type Totals = Omit<End, "crc32c">

const LineText = Schema.fromJsonString(Line)
const encode = (line: Line) => Effect.orDie(Schema.encodeEffect(LineText)(line))
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
  /** Writes the last line, and makes the report durable. */
  end(totals: Totals): Effect.Effect<void, ReportUnusable>
}

/** Replaces the file. Only a report with its last line, `end`, is complete. */
export const create = Effect.fnUntraced(function* (
  path: string
): Effect.fn.Return<Writer, ReportUnusable, FileSystem.FileSystem | Scope.Scope> {
  const fs = yield* FileSystem.FileSystem
  const fail = unusable("write", path)
  const file = yield* Effect.mapError(fs.open(path, { flag: "w" }), fail)
  let sum = 0
  const append = (text: string) => Effect.mapError(file.writeAll(new TextEncoder().encode(text)), fail)
  return {
    write: Effect.fnUntraced(function* (lines) {
      const texts = yield* Effect.forEach(lines, encode)
      const text = texts.map((text) => `${text}\n`).join("")
      sum = crc32c(text, sum)
      yield* append(text)
    }),
    end: Effect.fnUntraced(function* (totals) {
      const end = { ...totals, crc32c: 0 }
      yield* append(`${yield* encode({ ...end, crc32c: crc32c(`${yield* encode(end)}\n`, sum) })}\n`)
      yield* Effect.mapError(file.sync, fail)
    })
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

/** The first and the last line of a complete report as it was written. */
export const check = Effect.fnUntraced(function* (path: string) {
  let lines = 0
  let sum = 0
  let begin: Option.Option<typeof Begin.Type> = Option.none()
  let last: Option.Option<Line> = Option.none()
  yield* Stream.runForEach(read(path), (line) =>
    Effect.map(encode(line._tag === "end" ? { ...line, crc32c: 0 } : line), (text) => {
      if (lines++ === 0 && line._tag === "begin") begin = Option.some(line)
      sum = crc32c(`${text}\n`, sum)
      last = Option.some(line)
    })
  )
  const reject = (reason: string) => new ReportRejected({ path, reason })
  const end = Option.filter(last, (line): line is End => line._tag === "end")
  if (Option.isNone(begin)) return yield* reject("is not a report of `spillway gc`")
  if (Option.isNone(end)) return yield* reject("is incomplete: its dry run was stopped")
  if (sum !== end.value.crc32c) return yield* reject("was changed")
  return { begin: begin.value, end: end.value }
})

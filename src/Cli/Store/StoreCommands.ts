/**
 * Commands that use the store and the database directly. What runs them is loaded on demand: no other command needs the
 * recording, the store or the database.
 */
import { Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import * as Flags from "../Flags.ts"

const loadImport = Effect.promise(() => import("./ImportRun.ts"))
const loadGc = Effect.promise(() => import("./GcRun.ts"))

/** `spillway import [--bucket BUCKET] --uid UID`: indexes recordings that are in the store. */
export const ImportCommand = Command.make(
  "import",
  {
    bucket: Flag.String("bucket").pipe(
      Flag.withDescription("Bucket with the recordings; default: SPILLWAY_BUCKET, then this node's directory"),
      Flag.withMetavar("BUCKET"),
      Flag.optional
    ),
    from: Flag.String("from").pipe(
      Flag.withDescription("Local copy of a bucket, DIR/chunks/UID/…, to upload to the store first"),
      Flag.withMetavar("DIR"),
      Flag.optional
    ),
    uid: Flags.uid.pipe(Flag.withDescription("The user whose recordings are in the store")),
    sampleRate: Flag.Int("sample-rate").pipe(
      Flag.filter(
        (rate) => rate >= 8_000 && rate <= 48_000,
        () => "a whole number from 8000 to 48000"
      ),
      Flag.withDescription("Sample rate of recordings that don't state theirs"),
      Flag.withMetavar("HZ"),
      Flag.withDefault(16_000)
    ),
    waveforms: Flag.Boolean("waveforms").pipe(
      Flag.withDefault(false),
      Flag.withDescription("Read all audio without a waveform, including earlier imports, and draw one")
    )
  },
  (flags) => Effect.flatMap(loadImport, ({ importAll }) => importAll(flags))
).pipe(
  Command.withDescription(
    "Index recordings that are already in the store, so that they play. Nothing is copied; a repeated run finds new ones"
  )
)

/** `spillway gc [--report FILE]` and `spillway gc --delete REPORT`: finds orphans, and deletes them. */
export const GcCommand = Command.make(
  "gc",
  {
    report: Flag.String("report").pipe(
      Flag.withDescription("File for the report of the dry run, which is replaced; default: gc-report.jsonl"),
      Flag.withMetavar("FILE"),
      Flag.withDefault("gc-report.jsonl")
    ),
    remove: Flag.String("delete").pipe(
      Flag.withDescription(
        "Delete the orphans that this report lists; its dry run must have ended within the last hour"
      ),
      Flag.withMetavar("REPORT"),
      Flag.optional
    )
  },
  ({ remove, report }) =>
    Effect.flatMap(loadGc, ({ dryRun, removeAll }) =>
      Option.match(remove, { onNone: () => dryRun(report), onSome: removeAll })
    )
).pipe(
  Command.withDescription(
    "Find stored chunks that no row refers to, and rows whose object is missing. Deletes nothing without --delete"
  )
)

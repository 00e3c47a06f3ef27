/** Bounds and timings of captures, journal, uploads, reads and imports. */
import { Context } from "effect"
import * as Settings from "../Settings.ts"

const settings = {
  commitInterval: Settings.duration(
    "SPILLWAY_COMMIT_INTERVAL",
    "500 millis",
    "Longest time that received audio waits for its fsync. Lower it for earlier acknowledgements, raise it for fewer writes on a slow disk."
  ),
  commitBytes: Settings.constant(
    Settings.bytes(
      "COMMIT_BYTES",
      "4 MiB",
      "Size of one write to the journal; a commit of more is several writes before one fsync"
    )
  ),
  segmentBytes: Settings.constant(
    Settings.bytes("SEGMENT_BYTES", "64 MiB", "Size at which a journal segment is followed by a new one")
  ),
  journalBytes: Settings.bytes(
    "SPILLWAY_JOURNAL_BYTES",
    "10 GiB",
    "Disk budget of the journal. Size it for the longest outage of the store: a capture of 16 kHz fills about 110 MiB an hour. Beyond it, the users who hold the most give up their oldest sealed audio, which is recorded as lost."
  ),
  damagedBytes: Settings.constant(
    Settings.bytes(
      "JOURNAL_DAMAGED",
      "256 MiB",
      "Damaged journal segments that are kept for inspection, in addition to the budget. Beyond it the oldest are deleted."
    )
  ),
  chunksPerUser: Settings.constant(
    Settings.integer(
      "JOURNAL_CHUNKS_PER_USER",
      10_000,
      { min: 10, max: 10_000_000 },
      "Chunks of one user in the journal, about 3 KB of memory each; a capture that would add more is closed, until the store has taken some"
    )
  ),
  captureBuffer: Settings.constant(
    Settings.bytes("CAPTURE_BUFFER", "64 KiB", "Unwritten audio per capture; when it is full the socket is not read")
  ),
  captureBacklog: Settings.constant(
    Settings.bytes(
      "CAPTURE_BACKLOG",
      "12 MiB",
      "What may arrive between a full buffer and the socket's pause, one message of the largest size included; beyond it the capture is closed"
    )
  ),
  chunkDuration: Settings.duration(
    "SPILLWAY_CHUNK_DURATION",
    "60 seconds",
    "Length of a chunk, and the age at which it is sealed. Raise it for fewer and larger objects; lower it so that audio reaches the store sooner."
  ),
  queuedChunks: Settings.constant(
    Settings.integer(
      "QUEUED_CHUNKS",
      20,
      { min: 1, max: 10_000 },
      "Sealed chunks of one capture that wait for upload; the oldest slides out and waits in the journal for the sweep"
    )
  ),
  sweepInterval: Settings.constant(
    Settings.duration(
      "SWEEP_INTERVAL",
      "30 seconds",
      "Time between two sweeps, which offer the sealed chunks of the journal for upload"
    )
  ),
  sweepChunks: Settings.constant(
    Settings.integer(
      "SWEEP_CHUNKS",
      1_000,
      { min: 1, max: 100_000 },
      "Chunks that a sweep offers at a time, users in turn, the oldest of each first; more are offered when those are done"
    )
  ),
  uploads: Settings.integer(
    "SPILLWAY_UPLOADS",
    16,
    { min: 1, max: 1_000 },
    "Chunks read from the journal and uploaded at once. Raise it when uploads stay queued although the store and the network have capacity left."
  ),
  uploadDeadline: Settings.constant(
    Settings.duration(
      "UPLOAD_DEADLINE",
      "3 minutes",
      "Time for one upload, with the wait for its turn and all retries; then the chunk waits for the next sweep"
    )
  ),
  replayWindow: Settings.constant(
    Settings.duration(
      "REPLAY_WINDOW",
      "1 minute",
      "Time that stored audio stays in the journal, where replays of it are recognized without the store; less while the journal has used a quarter of its budget"
    )
  ),
  readPiece: Settings.constant(
    Settings.bytes(
      "READ_PIECE",
      "512 KiB",
      "Size of one read from the store for a listener, who holds one or two of them"
    )
  ),
  decodedBytes: Settings.constant(
    Settings.bytes(
      "DECODED_BYTES",
      "16 MiB",
      "Largest chunk that is decoded whole (Opus, or encrypted records of another writer); a larger one can't be read"
    )
  ),
  decodedChunks: Settings.constant(
    Settings.integer(
      "DECODED_CHUNKS",
      8,
      { min: 1, max: 1_000 },
      "Decoded chunks in the cache of listeners, and in that of background reads; the least recently used one is evicted"
    )
  ),
  importWindow: Settings.constant(
    Settings.integer(
      "IMPORT_WINDOW",
      8,
      { min: 1, max: 256 },
      "Stored chunks that `spillway import` reads at once if their metadata has no length; each is held in memory"
    )
  ),
  orphanAge: Settings.constant(
    Settings.duration(
      "ORPHAN_AGE",
      "7 days",
      "Stored chunks without a row are orphans from this age on; the row of a younger one may still wait in a journal"
    )
  ),
  drainTimeout: Settings.duration(
    "SPILLWAY_DRAIN_TIMEOUT",
    "30 seconds",
    "Time for uploads when the server stops; the rest stays in the journal. Set it below the time that the service manager allows for a stop; raise it before a node is removed for good."
  ),
  conversationLookup: Settings.constant(
    Settings.duration(
      "CONVERSATION_LOOKUP",
      "5 seconds",
      "Time that a capture waits to read what its conversation already has: at its start, and when audio is compared; then it records without it"
    )
  ),
  chunksPerConversation: Settings.constant(
    Settings.integer(
      "CHUNKS_PER_CONVERSATION",
      50_000,
      { min: 1, max: 1_000_000 },
      "Chunks of one conversation; a capture that would add more is closed"
    )
  )
}

export class RecordingConfig extends Context.Service<RecordingConfig, Settings.Values<typeof settings>>()(
  "spillway/Recording/RecordingConfig"
) {
  static readonly settings = settings
  static readonly layer = Settings.layer(this, settings)
}

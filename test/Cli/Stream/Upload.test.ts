/** All audio arrives once and in its place, whatever the connection does. */
import { assert, it } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { CliConfig } from "../../../src/Cli/CliConfig.ts"
import { Screen } from "../../../src/Cli/Screen.ts"
import * as Upload from "../../../src/Cli/Stream/Upload.ts"
import { type Behaviour, fakeServer } from "../support/FakeServer.ts"
import { environment } from "../../support/Settings.ts"

const RATE = 16_000
const SECONDS = 6

const pcm = Buffer.alloc(RATE * SECONDS * 2)
for (let i = 0; i < pcm.length / 2; i++) pcm.writeInt16LE(((i * 7919) % 65_536) - 32_768, i * 2)
const samples = pcm.length / 2
const wav = {
  sampleRate: RATE,
  extent: (): { samples: number; missing: number } | undefined => ({ samples, missing: 0 }),
  read: (from: number, to: number) => Effect.succeed(new Uint8Array(pcm.subarray(from * 2, to * 2))),
  release: (_sample: number) => {}
}

const screenThat = (said: Array<string>, drawn: Array<number | undefined>) => ({
  print: (text: string) => Effect.sync(() => void said.push(text)),
  progress: (fraction: number | undefined) => Effect.sync(() => void drawn.push(fraction))
})

interface Options {
  readonly env?: Record<string, string>
  readonly key?: string
  /** Receives the messages on the screen. */
  readonly said?: Array<string>
  readonly source?: typeof wav
  /** Receives the fractions of the progress bar. */
  readonly drawn?: Array<number | undefined>
}

const upload = (url: string, { env = {}, key = "k", said = [], source = wav, drawn = [] }: Options = {}) =>
  Upload.run({ wav: source, conversation: "c", url, key: Redacted.make(key), realtime: false }).pipe(
    Effect.provide(
      Layer.merge(CliConfig.layer, Layer.mock(Screen, screenThat(said, drawn))).pipe(
        Layer.provide(
          environment({
            CLI_BACKOFF: "1 millis",
            CLI_MAX_BACKOFF: "5 millis",
            SPILLWAY_CLI_PATIENCE: "300 millis",
            CLI_FRAMES_PER_SECOND: "10000",
            CLI_FAST_FRAME: "100 millis",
            ...env
          })
        )
      )
    )
  )

const patterns: ReadonlyArray<Behaviour> = [
  {},
  { ackEvery: 7 },
  { breakAfter: [1, 1, 1, 5] },
  { ackEvery: 4, breakAfter: [3, 30, 2, 17] },
  { ackEvery: 100, breakAfter: [59] }
]

for (const behaviour of patterns) {
  it.live(`delivers the audio bit for bit, with ${JSON.stringify(behaviour)}`, () =>
    Effect.gen(function* () {
      const { seen, url } = yield* fakeServer(behaviour)
      yield* upload(url)
      assert.isTrue(seen.stored.equals(pcm))
      assert.strictEqual(seen.connections, 1 + (behaviour.breakAfter?.length ?? 0))
    })
  )
}

it.live("ends without an acknowledgement of audio that the server does not store, and says how much that is", () =>
  Effect.gen(function* () {
    const detail = "the user's settings say that audio is not stored"
    const { url } = yield* fakeServer({ notice: { type: "limit", stored: false, detail } })
    const { unstoredSeconds } = yield* upload(url)
    assert.isAbove(unstoredSeconds, 0)
  })
)

it.live("prints what the server says of the audio", () =>
  Effect.gen(function* () {
    const said: Array<string> = []
    const detail = "the user's settings say that audio is not stored"
    const { url } = yield* fakeServer({ notice: { type: "limit", detail } })
    yield* upload(url, { said })
    assert.deepStrictEqual(said, [`Notice (limit): ${detail}.`])
  })
)

it.live("sends audio of unknown length to its end, and rereads no released audio", () =>
  Effect.gen(function* () {
    let released = 0
    let isOver = false
    const source = {
      ...wav,
      extent: () => (isOver ? { samples, missing: 0 } : undefined),
      read: (from: number, to: number) => {
        assert.isAtLeast(from, released)
        isOver ||= to >= samples
        return wav.read(from, to)
      },
      release: (sample: number) => {
        released = Math.max(released, sample)
      }
    }
    const { seen, url } = yield* fakeServer({ ackEvery: 4, breakAfter: [3, 30, 2, 17] })
    const drawn: Array<number | undefined> = []
    const { seconds } = yield* upload(url, { source, drawn })
    assert.deepStrictEqual([drawn[0], drawn.at(-1)], [undefined, 1])
    assert.isTrue(seen.stored.equals(pcm))
    assert.deepStrictEqual([released, seconds], [samples, SECONDS])
  })
)

it.live("keeps each sample's time after a reconnection, without drift", () =>
  Effect.gen(function* () {
    const { seen, url } = yield* fakeServer({ ackEvery: 3, breakAfter: [10, 20] })
    yield* upload(url)
    const first = seen.starts[0]?.start ?? 0
    for (const { start } of seen.starts) {
      const sample = (start - first) * RATE
      assert.isBelow(Math.abs(sample - Math.round(sample)), 0.02)
      assert.strictEqual(Math.round(sample) % 1600, 0)
    }
  })
)

it.live("never sends more than the bound on unacknowledged audio", () =>
  Effect.gen(function* () {
    const { seen, url } = yield* fakeServer({ ackAtMost: RATE })
    const error = yield* Effect.flip(
      upload(url, { env: { CLI_MAX_UNACKNOWLEDGED: "2 seconds", SPILLWAY_CLI_TRIES: "0" } })
    )
    assert.strictEqual(error.message, "No acknowledgement for 0.3 s.")
    assert.strictEqual(seen.acknowledged, RATE)
    assert.strictEqual(seen.mostPending, 2 * RATE)
  })
)

it.live("does not end while the last frame is unacknowledged", () =>
  Effect.gen(function* () {
    const { url } = yield* fakeServer({ ackAtMost: samples - 1 })
    const error = yield* Effect.flip(upload(url, { env: { SPILLWAY_CLI_TRIES: "2" } }))
    assert.match(error.message, /^No acknowledgement for 0\.3 s\. Gave up after 2 tries without progress\.$/)
  })
)

it.live("resets its attempts when a connection makes progress", () =>
  Effect.gen(function* () {
    const { seen, url } = yield* fakeServer({ breakAfter: Array.from({ length: 12 }, () => 3), orderly: true })
    yield* upload(url, { env: { SPILLWAY_CLI_TRIES: "1" } })
    assert.isTrue(seen.stored.equals(pcm))
  })
)

it.live("does not retry audio that the server rejects permanently", () =>
  Effect.gen(function* () {
    const closing = yield* fakeServer({ closeWith: 1008 })
    assert.match((yield* Effect.flip(upload(closing.url))).message, /1008: as told/)
    assert.strictEqual(closing.seen.connections, 1)
    const { url } = yield* fakeServer({})
    assert.match((yield* Effect.flip(upload(url, { key: "wrong" }))).message, /does not accept the key/)
  })
)

it.live.each(["too many messages a second", "more was sent than can be buffered"])(
  "reconnects when the server closes the socket because of its pace: %s",
  (reason) =>
    Effect.gen(function* () {
      const { seen, url } = yield* fakeServer({ closeOnce: { reason } })
      yield* upload(url)
      assert.isTrue(seen.stored.equals(pcm))
      assert.strictEqual(seen.connections, 2)
    })
)

it.live("reconnects to a full server no sooner than the server asks", () =>
  Effect.gen(function* () {
    const reason = "Retry-After: 1; the user has 5 captures"
    const { seen, url } = yield* fakeServer({ closeOnce: { code: 1013, reason } })
    const said: Array<string> = []
    yield* upload(url, { said })
    assert.isTrue(seen.stored.equals(pcm))
    const [first = 0, second = 0] = seen.upgrades
    assert.isAtLeast(second - first, 999)
    assert.match(said[0] ?? "", /^The server closed the connection \(1013: the user has 5 captures\). Reconnecting/)
  })
)

const full = {
  status: 429,
  problem: { title: "The user has too many captures", detail: "A user may have 5 at once. End one." }
}

it.live("retries a full server a bounded number of times, then fails with the server's message", () =>
  Effect.gen(function* () {
    const { seen, url } = yield* fakeServer({ refuse: [full] })
    const said: Array<string> = []
    const { message } = yield* Effect.flip(upload(url, { env: { SPILLWAY_CLI_TRIES: "3" }, said }))
    assert.strictEqual(
      message,
      "The server answers 429: The user has too many captures. A user may have 5 at once. End one. Gave up after 3 tries without progress."
    )
    assert.strictEqual(seen.upgrades.length, 4)
    assert.match(
      said[0] ?? "",
      /too many captures. A user may have 5 at once. End one. Reconnecting in .* \(1 of 3\)\.$/
    )
  })
)

it.live("waits as long as Retry-After says", () =>
  Effect.gen(function* () {
    const { seen, url } = yield* fakeServer({ refuse: [{ ...full, retryAfter: 1 }, undefined] })
    yield* upload(url)
    const [first = 0, second = 0] = seen.upgrades
    assert.isAtLeast(second - first, 999)
  })
)

it.live("fails at once when Retry-After is too long", () =>
  Effect.gen(function* () {
    const { seen, url } = yield* fakeServer({ refuse: [{ ...full, status: 503, retryAfter: 3600 }] })
    const { message } = yield* Effect.flip(upload(url, { env: { CLI_MAX_RETRY_AFTER: "1 minute" } }))
    assert.match(message, /^The server answers 503: .* End one\. The server asks to retry in 3600 s\.$/)
    assert.strictEqual(seen.upgrades.length, 1)
  })
)

it.live("reports a rejection without a reason by its status", () =>
  Effect.gen(function* () {
    const { url } = yield* fakeServer({ refuse: [{ status: 404 }] })
    assert.strictEqual((yield* Effect.flip(upload(url))).message, "The server answers 404: no reason given.")
  })
)

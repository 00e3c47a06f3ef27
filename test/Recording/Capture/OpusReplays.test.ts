/** `src/Recording/Capture` with Opus: every packet is kept once, whole and in its place, whatever is sent again. */
import { assert, it } from "@effect/vitest"
import { Arbitrary, Effect, Schema } from "effect"
import { OpusPacket } from "../../../src/Audio.ts"
import { messages, packets, samplesOf } from "../support/OpusPackets.ts"
import { epoch, Sender } from "../support/Sender.ts"
import { onJournal, packetsOf, type TestNode } from "../support/TestNode.ts"

const rate = 16_000
const opus = { codec: "opus", sampleRate: rate } as const

/** Chunks of the conversation by start: seconds from the epoch, length, and packets. */
const recorded = (node: TestNode) =>
  Effect.map(
    Effect.forEach([...node.conversation("c").chunks], (chunk) =>
      Effect.map(packetsOf(node.journal, chunk), (found) => {
        assert.strictEqual(chunk.durableSamples, samplesOf(found, rate))
        return {
          at: chunk.start - epoch,
          seconds: chunk.durableSamples / rate,
          packets: found,
          shift: Math.max(0, ...chunk.clockShifts)
        }
      })
    ),
    (chunks) => chunks.sort((a, b) => a.at - b.at)
  )

const hex = (all: ReadonlyArray<Uint8Array>) =>
  all.map((one) => `${one.length}: ${Buffer.from(one).toString("hex", 0, 12)}`)

const assertKept = (node: TestNode, expected: ReadonlyArray<Uint8Array>) =>
  Effect.map(recorded(node), (chunks) => {
    assert.deepStrictEqual(hex(chunks.flatMap(({ packets }) => packets)), hex(expected))
    return chunks
  })

const sent = (node: TestNode, frames: ReadonlyArray<{ readonly start: number; readonly audio: Uint8Array }>) =>
  Effect.gen(function* () {
    const sender = new Sender(node, opus)
    yield* sender.send(frames)
    yield* sender.end
    return sender.heard
  })

it.effect("acknowledges the bytes of all packets with their lengths, up to the end of the last one", () =>
  onJournal(({ node }) =>
    Effect.gen(function* () {
      const all = packets(100, 1)
      const { acks } = yield* sent(node, messages(all, { rate, seed: 2, start: epoch }))
      const bytes = all.reduce((sum, { length }) => sum + 2 + length, 0)
      assert.strictEqual(acks.at(-1)?.bytes, bytes)
      assert.closeTo(acks.at(-1)?.through ?? 0, epoch + samplesOf(all, rate) / rate, 1e-6)
      yield* assertKept(node, all)
    })
  )
)

it.effect("ends a chunk between two packets where it is full, and lets a longer packet have its own", () =>
  onJournal(
    ({ node }) =>
      Effect.gen(function* () {
        const all = packets(300, 3)
        yield* sent(node, messages(all, { rate, seed: 4, start: epoch }))
        const chunks = yield* assertKept(node, all)
        assert.isAbove(chunks.length, 20)
        for (const { at, packets, seconds } of chunks) {
          assert.isTrue(seconds <= 0.1 || packets.length === 1, `${seconds} s`)
          if (at > 0) assert.isTrue(chunks.some((before) => Math.abs(before.at + before.seconds - at) < 1e-6))
        }
      }),
    { host: { chunkSeconds: 0.1 } }
  )
)

it.effect("ends a chunk before it is too large to be decoded", () =>
  onJournal(({ node }) =>
    Effect.gen(function* () {
      // 6 frames of 2.5 ms at the largest size: 4 Mb/s.
      const largest = Buffer.concat([Buffer.of(0x83, 6), Buffer.alloc(6 * 1_275, 7)])
      const all = Array.from({ length: 1_500 }, (_, index) => {
        const one = Buffer.from(largest)
        one.writeUInt16LE(index, 2)
        return one
      })
      yield* sent(node, messages(all, { rate, seed: 5, start: epoch }))
      const chunks = yield* assertKept(node, all)
      assert.strictEqual(chunks.length, 2)
      assert.isBelow(OpusPacket.join(chunks[0]?.packets ?? []).length, 9 * 1024 * 1024)
    })
  )
)

it.effect("keeps other packets for recorded times after the end, with a clock shift, and a replay of them once", () =>
  onJournal(({ node }) =>
    Effect.gen(function* () {
      const [first, second] = [packets(60, 6), packets(40, 7)]
      yield* sent(node, messages(first, { rate, seed: 8, start: epoch }))
      const { shifts } = yield* sent(node, messages(second, { rate, seed: 9, start: epoch + 0.2 }))
      assert.strictEqual(shifts.length, 1)
      yield* assertKept(node, [...first, ...second])
      yield* sent(node, messages(second, { rate, seed: 10, start: epoch + 0.2 }))
      yield* sent(
        node,
        messages(first.slice(20), { rate, seed: 11, start: epoch + samplesOf(first.slice(0, 20), rate) / rate })
      )
      yield* assertKept(node, [...first, ...second])
      assert.isAbove(Math.max(...[...node.conversation("c").chunks].flatMap(({ clockShifts }) => clockShifts)), 0.5)
    })
  )
)

it.effect("finds a replay whose stamps have moved by less than a packet", () =>
  onJournal(({ node }) =>
    Effect.gen(function* () {
      const all = packets(2_000, 12)
        .filter((packet) => samplesOf([packet], rate) > 0.03 * rate)
        .slice(0, 80)
      yield* sent(node, messages(all.slice(0, 60), { rate, seed: 13, start: epoch }))
      const from = samplesOf(all.slice(0, 30), rate) / rate
      yield* sent(node, messages(all.slice(30), { rate, seed: 14, start: epoch + from + 0.03 }))
      yield* assertKept(node, all)
    })
  )
)

it.effect("keeps a packet that would reach over recorded audio after the end, and covers nothing", () =>
  onJournal(({ node }) =>
    Effect.gen(function* () {
      // 20 ms each; the gap from 40 to 70 ms has room for one.
      const all = Array.from({ length: 6 }, (_, index) => Buffer.concat([Buffer.of(0x48), Buffer.alloc(30, index + 1)]))
      const at = (index: number, start: number) => ({
        start: epoch + start,
        audio: OpusPacket.join(all.slice(index, index + 2))
      })
      yield* sent(node, [at(0, 0), at(2, 0.07)])
      yield* sent(node, [at(4, 0.04)])
      const chunks = yield* recorded(node)
      assert.deepStrictEqual(
        chunks.map(({ at, packets }) => [Math.round(at * 1_000), ...packets.map((packet) => packet[1])]),
        [
          [0, 1, 2],
          [40, 5],
          [70, 3, 4],
          [110, 6]
        ]
      )
    })
  )
)

it.effect("keeps packets once that fill a gap and continue after the end, when they are replayed", () =>
  onJournal(({ node }) =>
    Effect.gen(function* () {
      // 20 ms each; the gap from 40 to 100 ms has room for three.
      const all = Array.from({ length: 9 }, (_, index) => Buffer.concat([Buffer.of(0x48), Buffer.alloc(30, index + 1)]))
      const at = (index: number, start: number, count = 2) => ({
        start: epoch + start,
        audio: OpusPacket.join(all.slice(index, index + count))
      })
      yield* sent(node, [at(0, 0), at(2, 0.1)])
      const late = [at(4, 0.04), at(6, 0.08), at(8, 0.12, 1)]
      for (const again of [late, late, late.slice(1)]) yield* sent(node, again)
      const order = [0, 1, 4, 5, 6, 2, 3, 7, 8]
      yield* assertKept(
        node,
        order.flatMap((index) => all[index] ?? [])
      )
    })
  )
)

const Send = Schema.Struct({
  packets: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 30 })),
  seed: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1_000_000 })),
  /**
   * Tenths of a millisecond. A replay of a packet of 2.5 ms is found if its stamp has moved by less than 1.5 ms: later it
   * begins within the tolerance of the end, as new audio does.
   */
  jitter: Schema.Int.check(Schema.isBetween({ minimum: -7, maximum: 7 })),
  /** Milliseconds of silence before, if it is more than 20. */
  pause: Schema.Int.check(Schema.isBetween({ minimum: -100, maximum: 100 })),
  /** If positive, reconnects first and sends so many packets again. */
  again: Schema.Int.check(Schema.isBetween({ minimum: -40, maximum: 40 }))
})

it.effect.prop(
  "keeps every packet once and in its place after reconnections, in any messages, with gaps and jitter",
  { sends: Arbitrary.array(Arbitrary.schema(Send), { minLength: 1, maxLength: 12 }) },
  ({ sends }) =>
    onJournal(({ node }) =>
      Effect.gen(function* () {
        const all: Array<{ readonly packet: Uint8Array; readonly at: number }> = []
        let sender = new Sender(node, opus)
        let end = 0
        for (const { again, jitter, pause, seed, ...send } of sends) {
          const frames = (from: number) => {
            const found: Array<{ start: number; audio: Uint8Array }> = []
            for (let index = from; index < all.length;) {
              const run = all.slice(index, index + 1 + ((seed + index) % 7))
              // A message has no gap.
              const gap = run.findIndex(({ at, packet }, at2) => {
                const next = run[at2 + 1]
                return next !== undefined && next.at > at + samplesOf([packet], rate) + 1
              })
              const part = gap === -1 ? run : run.slice(0, gap + 1)
              const start = epoch + (part[0]?.at ?? 0) / rate + jitter / 10_000
              found.push({ start, audio: OpusPacket.join(part.map(({ packet }) => packet)) })
              index += part.length
            }
            return found
          }
          if (again > 0) {
            yield* sender.end
            sender = new Sender(node, opus)
          }
          const from = again > 0 ? Math.max(0, all.length - again) : all.length
          if (pause > 20) end += pause * 16
          for (const packet of packets(send.packets, seed)) {
            all.push({ packet, at: end })
            end += samplesOf([packet], rate)
          }
          yield* sender.send(frames(from))
        }
        yield* sender.end
        const chunks = yield* assertKept(
          node,
          all.map(({ packet }) => packet)
        )
        for (const { at, packets } of chunks) {
          const first = Buffer.from(packets[0] ?? [])
          assert.isTrue(
            all.some((one) => Buffer.compare(one.packet, first) === 0 && Math.abs(one.at / rate - at) < 0.003)
          )
        }
      })
    ),
  { arbitrary: { runs: 20 } }
)

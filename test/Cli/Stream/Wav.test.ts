/** The command line reads WAV files and pipes. */
import { assert, it, layer } from "@effect/vitest"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Deferred, Effect, Fiber, FileSystem, Layer, Schema, Stdio, Stream } from "effect"
import * as Wav from "../../../src/Cli/Stream/Wav.ts"
import { chunk, fmt, foundWith, refusedWith, riff } from "../../support/WavFiles.ts"

const audio = Buffer.from(Array.from({ length: 800 }, (_, index) => (index * 37) % 256))

const inFile = Effect.fnUntraced(function* (bytes: Uint8Array) {
  const fs = yield* FileSystem.FileSystem
  const file = yield* fs.makeTempFileScoped()
  yield* fs.writeFile(file, bytes)
  return yield* Wav.open(file)
})

/** Standard input in these pieces; under the test runner it is not a file. */
const inPipe = <E, R>(pieces: Stream.Stream<Uint8Array, E, R>) =>
  Effect.gen(function* () {
    const context = yield* Effect.context<R>()
    const stdin = Stream.orDie(Stream.provideContext(pieces, context))
    const fs = yield* FileSystem.FileSystem
    const stat = (path: string) => Effect.map(fs.stat(path), (info) => ({ ...info, type: "FIFO" as const }))
    return yield* Effect.provide(Wav.open("/dev/stdin"), [
      Stdio.layerTest({ stdin }),
      Layer.succeed(FileSystem.FileSystem, { ...fs, stat })
    ])
  })

/** Single bytes, so that no field arrives whole. */
const byBytes = (bytes: Uint8Array) => Stream.fromIterable(Array.from(bytes, (byte) => Uint8Array.of(byte)))

/** All of it, in pieces of 7 samples, each released when the next one is read. */
const whole = Effect.fnUntraced(function* (wav: Wav.Wav) {
  const parts: Array<Uint8Array> = []
  for (let at = 0; ; at += 7) {
    const part = yield* wav.read(at, at + 7)
    if (part.length === 0) break
    wav.release(at)
    parts.push(part)
  }
  const { sampleRate, isUnfinished } = wav
  return { sampleRate, isUnfinished, missing: wav.extent()?.missing, audio: Buffer.concat(parts) }
})

const places = {
  "a WAV file": inFile,
  "a WAV file from a pipe": (bytes: Uint8Array) => inPipe(byBytes(bytes))
}

for (const [place, opened] of Object.entries(places)) {
  layer(NodeServices.layer)(place, (it) => {
    for (const [name, found] of Object.entries(foundWith(audio))) {
      it.effect(`reads ${name} completely`, () =>
        Effect.gen(function* () {
          const { isUnfinished = false, missing = 0 } = found
          const expected = { sampleRate: 16_000, isUnfinished, missing, audio: Buffer.from(found.audio) }
          assert.deepStrictEqual(yield* whole(yield* opened(found.bytes)), expected)
        })
      )
    }

    for (const [name, bytes, said] of refusedWith(audio)) {
      it.effect(`rejects ${name} with what it is and how to convert it`, () =>
        Effect.gen(function* () {
          const error = yield* Effect.flip(opened(bytes))
          assert.match(error.message, said)
          assert.match(error.message, /ffmpeg -i '.*' -ac 1 -ar 16000 -c:a pcm_s16le out\.wav/)
        })
      )
    }

    it.effect("mixes several channels to their mean", () =>
      Effect.gen(function* () {
        const stereo = Buffer.alloc(400)
        for (let at = 0; at < 100; at++) stereo.writeInt32LE((at << 16) | (at + 10), at * 4)
        const wav = yield* opened(riff([fmt({ channels: 2 }), chunk("data", stereo)]))
        const mono = Buffer.from(yield* wav.read(0, 200))
        assert.deepStrictEqual([mono.length, mono.readInt16LE(0), mono.readInt16LE(198)], [200, 5, 104])
      })
    )
  })
}

layer(NodeServices.layer)("a WAV file", (it) => {
  it.effect("reads in pieces of any size, and knows its length at once", () =>
    Effect.gen(function* () {
      const wav = yield* inFile(riff([fmt(), chunk("data", audio)]))
      assert.deepStrictEqual(wav.extent(), { samples: 400, missing: 0 })
      for (const [from, to] of [
        [0, 1],
        [399, 400],
        [3, 77],
        [5, 5],
        [390, 500]
      ] as const) {
        assert.deepStrictEqual(Buffer.from(yield* wav.read(from, to)), audio.subarray(from * 2, to * 2))
      }
    })
  )

  it.effect("reports a directory or a missing file", () =>
    Effect.gen(function* () {
      assert.match((yield* Effect.flip(Wav.open("/tmp"))).message, /\/tmp can't be read \(a directory\)/)
      assert.match((yield* Effect.flip(Wav.open("/nowhere.wav"))).message, /There is no file \/nowhere\.wav/)
    })
  )
})

layer(NodeServices.layer)("a pipe", (it) => {
  it.effect("is read no further than requested, and keeps audio until it is released", () =>
    Effect.gen(function* () {
      let given = 0
      const endless = Stream.concat(
        Stream.make(riff([fmt(), chunk("data", Buffer.alloc(0), 0xffff_ffff)])),
        Stream.map(Stream.range(0, 1_000_000_000, 1), (index) => {
          given++
          return new Uint8Array(2_000).fill(index % 251)
        })
      )
      const wav = yield* inPipe(endless)
      for (let at = 0; at < 200_000; at += 1_000) {
        yield* wav.read(at, at + 1_000)
        const again = yield* wav.read(Math.max(0, at - 2_000), at)
        assert.isTrue(at === 0 || again[0] === (Math.max(0, at - 2_000) / 1_000) % 251)
        wav.release(at - 2_000)
      }
      assert.isAtMost(given, 202)
      assert.isUndefined(wav.extent())
    })
  )

  it.effect("loses nothing when its reader is interrupted while it waits", () =>
    Effect.gen(function* () {
      const more = yield* Deferred.make<Uint8Array>()
      const head = riff([fmt(), chunk("data", Buffer.alloc(0), 0xffff_ffff)])
      const wav = yield* inPipe(
        Stream.concat(
          Stream.make(Buffer.concat([head, audio.subarray(0, 100)])),
          Stream.fromEffect(Deferred.await(more))
        )
      )
      const reader = yield* Effect.forkChild(wav.read(0, 400), { startImmediately: true })
      yield* Fiber.interrupt(reader)
      yield* Deferred.succeed(more, audio.subarray(100))
      assert.isTrue(Buffer.from(yield* wav.read(0, 1_000)).equals(audio))
      assert.deepStrictEqual(wav.extent(), { samples: 400, missing: 0 })
    })
  )

  it.effect("fails reads beyond a break, but not reads of received audio", () =>
    Effect.gen(function* () {
      const head = riff([fmt(), chunk("data", audio, 0xffff_ffff)])
      const wav = yield* inPipe(Stream.concat(Stream.make(head), Stream.die(new Error("broken"))))
      assert.strictEqual((yield* wav.read(0, 400)).length, 800)
      assert.strictEqual((yield* Effect.exit(wav.read(400, 401)))._tag, "Failure")
    })
  )
})

it.effect.prop(
  "parses any bytes without a crash",
  { bytes: Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 255 }))) },
  ({ bytes }) =>
    Effect.gen(function* () {
      for (const opened of Object.values(places)) {
        const result = yield* Effect.result(opened(Buffer.concat([riff([fmt()]), Buffer.from(bytes)])))
        assert.isTrue(result._tag === "Success" || result.failure._tag === "UnsupportedWav")
      }
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)),
  { arbitrary: { runs: 40 } }
)

/** What is read of a WAV file. */
import { assert, it, layer } from "@effect/vitest"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect, FileSystem, Schema } from "effect"
import * as Wav from "../../src/Cli/Wav.ts"

const chunk = (id: string, body: Buffer, size = body.length) => {
  const head = Buffer.alloc(8)
  head.write(id, "latin1")
  head.writeUInt32LE(size >>> 0, 4)
  return Buffer.concat([head, body, Buffer.alloc(body.length % 2)])
}

const fmt = ({ bits = 16, channels = 1, extensible = false, rate = 16_000, tag = 1 } = {}) => {
  const body = Buffer.alloc(extensible ? 40 : 16)
  body.writeUInt16LE(extensible ? 0xfffe : tag, 0)
  body.writeUInt16LE(channels, 2)
  body.writeUInt32LE(rate, 4)
  body.writeUInt16LE(bits, 14)
  if (extensible) body.writeUInt16LE(tag, 24)
  return chunk("fmt ", body)
}

const riff = (chunks: ReadonlyArray<Buffer>, name = "RIFF") =>
  Buffer.concat([Buffer.from(name), Buffer.alloc(4), Buffer.from("WAVE"), ...chunks])

const audio = Buffer.from(Array.from({ length: 200 }, (_, i) => (i * 37) % 256))

const opened = Effect.fnUntraced(function* (bytes: Uint8Array) {
  const fs = yield* FileSystem.FileSystem
  const file = yield* fs.makeTempFileScoped()
  yield* fs.writeFile(file, bytes)
  return yield* Wav.open(file)
})

const whole = Effect.fnUntraced(function* (bytes: Uint8Array) {
  const wav = yield* opened(bytes)
  return { rate: wav.sampleRate, audio: Buffer.from(yield* wav.read(0, wav.samples)), missing: wav.missing }
})

const ds64 = () => {
  const body = Buffer.alloc(28)
  body.writeBigUInt64LE(BigInt(audio.length), 8)
  return chunk("ds64", body)
}

layer(NodeServices.layer)("a WAV file", (it) => {
  const readable: Readonly<Record<string, Buffer>> = {
    plain: riff([fmt(), chunk("data", audio)]),
    "with an odd LIST chunk before and one after": riff([
      chunk("LIST", Buffer.alloc(27)),
      fmt(),
      chunk("data", audio),
      chunk("LIST", Buffer.alloc(4))
    ]),
    WAVE_FORMAT_EXTENSIBLE: riff([fmt({ extensible: true }), chunk("data", audio)]),
    "RF64, whose size is elsewhere": riff(
      [ds64(), fmt(), chunk("data", audio, 0xffffffff), chunk("LIST", Buffer.alloc(4))],
      "RF64"
    ),
    "whose writer was killed before it knew the size": riff([fmt(), chunk("data", audio, 0xffffffff)]),
    "whose writer was killed before it wrote the size": riff([fmt(), chunk("data", audio, 0)])
  }
  for (const [name, bytes] of Object.entries(readable)) {
    it.effect(`${name} is read whole`, () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* whole(bytes), { rate: 16_000, audio, missing: 0 })
      })
    )
  }

  it.effect("that is cut is read to its last whole sample, and says how many are missing", () =>
    Effect.gen(function* () {
      const cut = riff([fmt(), chunk("data", audio)]).subarray(0, -3)
      assert.deepStrictEqual(yield* whole(cut), { rate: 16_000, audio: audio.subarray(0, 196), missing: 2 })
    })
  )

  it.effect("is read in any pieces", () =>
    Effect.gen(function* () {
      const wav = yield* opened(riff([fmt(), chunk("data", audio)]))
      for (const [from, to] of [
        [0, 1],
        [99, 100],
        [3, 77],
        [5, 5]
      ] as const) {
        assert.deepStrictEqual(Buffer.from(yield* wav.read(from, to)), audio.subarray(from * 2, to * 2))
      }
    })
  )

  const refused: ReadonlyArray<readonly [Buffer, RegExp]> = [
    [riff([fmt({ channels: 2 }), chunk("data", audio)]), /16-bit PCM, 2 channels, 16000 Hz/],
    [riff([fmt({ bits: 24 }), chunk("data", audio)]), /24-bit PCM/],
    [riff([fmt({ bits: 32, tag: 3 }), chunk("data", audio)]), /32-bit floating-point/],
    [riff([fmt({ rate: 96_000 }), chunk("data", audio)]), /96000 Hz/],
    [riff([fmt({ extensible: true, tag: 3, bits: 32 }), chunk("data", audio)]), /floating-point/],
    [riff([fmt()]), /without audio/],
    [riff([fmt(), chunk("data", Buffer.alloc(0))]), /without audio/],
    [riff([fmt(), chunk("data", audio)]).subarray(0, -199), /without audio/],
    [riff([chunk("data", audio)]), /without a format/],
    [Buffer.from("ID3 is no WAV"), /not a WAV file/],
    [Buffer.alloc(0), /not a WAV file/]
  ]
  for (const [bytes, found] of refused) {
    it.effect(`is refused with what it is (${found.source}) and how to convert it`, () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(opened(bytes))
        assert.match(error.message, found)
        assert.match(error.message, /ffmpeg -i '.*' -ac 1 -ar 16000 -c:a pcm_s16le out\.wav/)
      })
    )
  }
})

it.effect.prop(
  "no bytes make the reader crash",
  { bytes: Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 255 }))) },
  ({ bytes }) =>
    Effect.gen(function* () {
      const error = yield* Effect.result(opened(Buffer.concat([riff([fmt()]), Buffer.from(bytes)])))
      assert.isTrue(error._tag === "Failure" ? error.failure._tag === "UnsupportedWav" : error.success.samples >= 0)
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)),
  { arbitrary: { runs: 40 } }
)

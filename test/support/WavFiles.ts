/** WAV files with the quirks of real writers, and the expected result of reading each. */

const bytesOf = (id: string, size: number, body: Uint8Array = new Uint8Array(0)) => {
  const head = Buffer.alloc(8)
  head.write(id, "latin1")
  head.writeUInt32LE(size, 4)
  return Buffer.concat([head, body])
}

/** A chunk with its pad byte. `size` overrides the size in its header. */
export const chunk = (id: string, body: Uint8Array, size = body.length): Buffer =>
  Buffer.concat([bytesOf(id, size, body), Buffer.alloc(body.length % 2)])

/** A chunk without the pad byte, as some writers leave it. */
const unpadded = (id: string, body: Uint8Array) => bytesOf(id, body.length, body)

export const fmt = ({ bits = 16, channels = 1, extensible = false, rate = 16_000, tag = 1 } = {}): Buffer => {
  const body = Buffer.alloc(extensible ? 40 : 16)
  body.writeUInt16LE(extensible ? 0xfffe : tag, 0)
  body.writeUInt16LE(channels, 2)
  body.writeUInt32LE(rate, 4)
  body.writeUInt32LE((rate * channels * bits) / 8, 8)
  body.writeUInt16LE((channels * bits) / 8, 12)
  body.writeUInt16LE(bits, 14)
  if (extensible) body.writeUInt16LE(tag, 24)
  return chunk("fmt ", body)
}

/** The `ds64` chunk with the sizes of a long file; writers leave zeros until they finish. */
const ds64 = (dataSize: number | bigint) => {
  const body = Buffer.alloc(28)
  body.writeBigUInt64LE(BigInt(dataSize), 8)
  return chunk("ds64", body)
}

export const riff = (chunks: ReadonlyArray<Uint8Array>, name = "RIFF"): Buffer => {
  const body = Buffer.concat(chunks)
  const head = bytesOf(name, name === "RIFF" ? 4 + body.length : 0xffff_ffff, Buffer.from("WAVE"))
  return Buffer.concat([head, body])
}

const id3 = (size: number, foot = false) => {
  const head = Buffer.from([0x49, 0x44, 0x33, 4, 0, foot ? 16 : 0, 0, 0, size >> 7, size & 127])
  return Buffer.concat([head, Buffer.alloc(size, 0x54), Buffer.alloc(foot ? 10 : 0, 0x54)])
}

const list = chunk("LIST", Buffer.from("INFOISFT\x0e\0\0\0Lavf59.27.100\0", "latin1"))
const elsewhere = 0xffff_ffff

export interface Found {
  readonly bytes: Buffer
  /** The audio that must be read. */
  readonly audio: Buffer
  readonly isUnfinished?: boolean
  /** Samples. */
  readonly missing?: number
}

/** `audio` is PCM16, and more than 300 bytes of it. */
export const foundWith = (audio: Buffer): Readonly<Record<string, Found>> => {
  const data = chunk("data", audio)
  const whole = (bytes: Buffer): Found => ({ bytes, audio })
  const unfinished = (bytes: Buffer): Found => ({ bytes, audio, isUnfinished: true })
  // For any length, other bytes of the audio and of the chunk's header also look like a chunk header.
  const tempting = Buffer.concat([Buffer.from([0, 0]), audio.subarray(2, 2 * 0x20)])
  return {
    plain: whole(riff([fmt(), data])),
    "with an odd LIST chunk before, and one behind": whole(riff([chunk("LIST", Buffer.alloc(27)), fmt(), data, list])),
    WAVE_FORMAT_EXTENSIBLE: whole(riff([fmt({ extensible: true }), data])),
    RF64: whole(riff([ds64(audio.length), fmt(), chunk("data", audio, elsewhere), list], "RF64")),
    "RF64 whose writer was killed": unfinished(riff([ds64(0), fmt(), list, chunk("data", audio, elsewhere)], "RF64")),
    "RF64 of unknown sizes": whole(riff([ds64(2n ** 64n - 1n), fmt(), chunk("data", audio, elsewhere)], "RF64")),
    BW64: whole(
      riff([ds64(audio.length), fmt(), chunk("chna", Buffer.alloc(4)), chunk("data", audio, elsewhere), list], "BW64")
    ),
    "with an odd chunk that has no pad byte before its audio": whole(
      riff([fmt(), unpadded("LIST", Buffer.from("INFOISFT\x07\0\0\0Logger1", "latin1")), data])
    ),
    "with an odd chunk that has no pad byte before its format": whole(
      riff([unpadded("bext", Buffer.alloc(629, 0)), fmt(), data])
    ),
    "with an odd chunk without pad byte, and sizes that look like names": {
      bytes: riff([fmt(), unpadded("bext", Buffer.alloc(3)), chunk("data", tempting)]),
      audio: tempting
    },
    "with an odd chunk of a name of its own without pad byte": whole(
      riff([unpadded("Logg", Buffer.from("abc")), fmt(), data])
    ),
    "with an empty data chunk before the audio": whole(riff([fmt(), chunk("data", Buffer.alloc(0)), list, data])),
    "from a writer to a pipe: all ones": whole(riff([fmt(), chunk("data", audio, elsewhere)])),
    "from a writer to a pipe: sox": whole(riff([fmt(), chunk("data", audio, 0x7fff_f000)])),
    "from a writer to a pipe: arecord": whole(riff([fmt(), chunk("data", audio, 0x8000_0000)])),
    "whose writer was killed before it wrote a size": unfinished(riff([fmt(), chunk("data", audio, 0)])),
    "behind an ID3 tag": whole(Buffer.concat([id3(300), riff([fmt(), data])])),
    "behind two ID3 tags, one of them with a foot": whole(
      Buffer.concat([id3(5, true), id3(200), riff([fmt(), data, list])])
    ),
    "that is cut": {
      bytes: riff([fmt(), data]).subarray(0, -83),
      audio: audio.subarray(0, audio.length - 84),
      missing: 42
    }
  }
}

/** Files that must be rejected, and the message. */
export const refusedWith = (audio: Buffer): ReadonlyArray<readonly [name: string, bytes: Buffer, said: RegExp]> => [
  ["24 bits", riff([fmt({ bits: 24 }), chunk("data", audio)]), /24-bit PCM, 1 channel, 16000 Hz/],
  ["floating-point", riff([fmt({ bits: 32, tag: 3 }), chunk("data", audio)]), /32-bit floating-point/],
  ["96 kHz", riff([fmt({ rate: 96_000 }), chunk("data", audio)]), /96000 Hz/],
  ["nine channels", riff([fmt({ channels: 9 }), chunk("data", audio)]), /9 channels/],
  ["extensible", riff([fmt({ bits: 32, extensible: true, tag: 3 }), chunk("data", audio)]), /floating-point/],
  ["no data", riff([fmt()]), /without audio/],
  ["no bytes", riff([fmt(), chunk("data", Buffer.alloc(0))]), /without audio/],
  ["metadata behind no bytes", riff([fmt(), chunk("data", Buffer.alloc(0)), list]), /without audio/],
  ["half a sample", riff([fmt(), chunk("data", audio)]).subarray(0, 45), /without audio/],
  ["no format", riff([chunk("data", audio)]), /without a format/],
  ["a cut format", riff([fmt()]).subarray(0, 30), /cut in its header/],
  ["MP3", Buffer.concat([id3(300), Buffer.from([0xff, 0xfb, 0x90, 0]), audio]), /an MP3 file/],
  ["a cut tag", id3(300).subarray(0, 100), /an MP3 file/],
  ["text", Buffer.from("hello"), /not a WAV file/],
  ["nothing", Buffer.alloc(0), /not a WAV file/]
]

/** A PCM16 mono WAV file, written byte by byte. */
export const wavOf = (pcm: Uint8Array, rate: number) => {
  const head = Buffer.from(
    "524946460000000057415645666d742010000000010001000000000000000000020010006461746100000000",
    "hex"
  )
  head.writeUInt32LE(36 + pcm.length, 4)
  head.writeUInt32LE(rate, 24)
  head.writeUInt32LE(rate * 2, 28)
  head.writeUInt32LE(pcm.length, 40)
  return Buffer.concat([head, pcm])
}

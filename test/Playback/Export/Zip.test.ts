/** Archives, read by their directory and by the tools of the system. */
import { spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert, it } from "@effect/vitest"
import { Effect, Schema, Stream } from "effect"
import * as Zip from "../../../src/Playback/Export/Zip.ts"
import { temporaryDirectory } from "../../support/TemporaryDirectory.ts"
import { unpack } from "./support/ZipReader.ts"

const Size = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3_000 }))
const Sizes = Schema.Array(Size).check(Schema.isMaxLength(6))

const entriesOf = (sizes: ReadonlyArray<number>, piece: number) =>
  sizes.map((size, index) => {
    const bytes = Buffer.alloc(size, `${index} content `)
    const pieces = Array.from({ length: Math.ceil(size / piece) }, (_, at) => [
      bytes.subarray(at * piece, (at + 1) * piece)
    ])
    return {
      name: `${index}-ü.wav`,
      size,
      modified: 1_700_000_001 + index,
      content: Stream.fromIterable(pieces),
      bytes
    }
  })

const bytesOf = <E>(zip: Stream.Stream<ReadonlyArray<Uint8Array>, E>) =>
  Effect.map(Stream.runCollect(zip), (all) => Buffer.concat(all.flat()))

it.effect.prop(
  "has every entry with its checksum and time, and the size that was announced, with and without ZIP64",
  { sizes: Sizes, piece: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 999 })), limit: Size },
  Effect.fnUntraced(function* ({ limit, piece, sizes }) {
    const entries = entriesOf(sizes, piece)
    for (const from of [limit, undefined]) {
      const zip = yield* bytesOf(Zip.archive(entries, from))
      assert.strictEqual(zip.length, Zip.sizeOf(entries, from))
      const expected = entries.map(({ bytes, modified, name }) => ({ name, content: bytes, modified }))
      const found = unpack(zip)
      assert.deepStrictEqual(
        found.map(({ modified, name }) => [name, modified]),
        expected.map(({ modified, name }) => [name, modified])
      )
      for (const [index, { content }] of found.entries())
        assert.isTrue(content.equals(expected[index]?.content ?? assert.fail()))
    }
  })
)

it("has its size by the names and sizes of its entries alone, so that no head is encoded", () => {
  const heads = entriesOf([10, 20, 3_000], 7)
  const blind = heads.map(({ name, size }) => ({
    name,
    size,
    get modified(): number {
      return assert.fail("a head is encoded")
    }
  }))
  for (const limit of [15, undefined]) assert.strictEqual(Zip.sizeOf(blind, limit), Zip.sizeOf(heads, limit))
})

it.effect("is the same when it is read again", () =>
  Effect.gen(function* () {
    const zip = Zip.archive(entriesOf([10, 20], 7))
    assert.isTrue((yield* bytesOf(zip)).equals(yield* bytesOf(zip)))
  })
)

/** Prints the names, and ends with 1 if an entry is damaged. */
const python =
  "import sys,zipfile\nz=zipfile.ZipFile(sys.argv[1])\nprint(*z.namelist(),sep='\\n')\nsys.exit(z.testzip() is not None)"
const tools: Readonly<Record<string, ReadonlyArray<string>>> = {
  unzip: ["-tqq"],
  zip: ["-T"],
  python3: ["-c", python]
}

it.effect.each(Object.keys(tools))("is accepted by %s, with and without ZIP64", (tool) =>
  Effect.gen(function* () {
    const directory = yield* temporaryDirectory
    for (const limit of [100, undefined]) {
      const file = Path.join(directory, `${limit}.zip`)
      const zip = yield* bytesOf(Zip.archive(entriesOf([0, 50, 2_000, 70_000], 999), limit))
      Fs.writeFileSync(file, zip)
      const run = spawnSync(tool, [...(tools[tool] ?? []), file], { encoding: "utf8" })
      if (run.error !== undefined && "code" in run.error && run.error.code === "ENOENT") return
      assert.deepStrictEqual([run.status, run.stderr], [0, ""], run.stdout)
      Fs.writeFileSync(file, zip.subarray(0, -30))
      const truncated = spawnSync(tool, [...(tools[tool] ?? []), file], { encoding: "utf8" })
      assert.notStrictEqual(truncated.status, 0)
    }
  })
)

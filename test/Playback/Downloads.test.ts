/** `src/Playback/Urls` with the programs that people download and play with. */
import { spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { HttpServer } from "effect/http"
import { findProgram } from "../support/Programs.ts"
import { temporaryDirectory } from "../support/TemporaryDirectory.ts"
import { MemoryRecording, rate, t0 } from "./support/MemoryRecording.ts"
import { wavOf } from "./support/ServedAudio.ts"
import { servedPlayback, signedPath, urlsOf } from "./support/ServedPlayback.ts"

/** Two audio files of a minute each, an hour apart. */
const recording = new MemoryRecording()
recording.put("talk", [
  { start: t0, samples: 60 * rate },
  { start: t0 + 3600, samples: 60 * rate }
])
const minutes = [t0, t0 + 3600].map((start) => MemoryRecording.pcm({ start, samples: 60 * rate }))
recording.sound = ({ start }) => minutes[start === t0 ? 0 : 1] ?? Buffer.alloc(0)
const pcm = Buffer.concat(minutes)
const whole = wavOf(pcm)

/** The URL of the conversation as one file. */
const url = Effect.gen(function* () {
  const { address } = yield* HttpServer.HttpServer
  const { conversation_audio: found } = (yield* urlsOf("talk")).urls
  const port = "port" in address ? address.port : assert.fail("no port")
  return `http://127.0.0.1:${port}${signedPath(found?.signed_url)}`
})

/** Its standard output. */
const run = (program: string, ...args: ReadonlyArray<string>) =>
  Effect.callback<Buffer>((resume) => {
    const child = spawn(program, args, { env: { ...process.env, no_proxy: "*" }, stdio: ["ignore", "pipe", "pipe"] })
    const [output, errors]: [Array<Buffer>, Array<Buffer>] = [[], []]
    child.stdout.on("data", (bytes) => output.push(bytes))
    child.stderr.on("data", (bytes) => errors.push(bytes))
    child.on("close", (code) => {
      resume(
        Effect.sync(() => {
          assert.strictEqual(code, 0, Buffer.concat(errors).toString())
          return Buffer.concat(output)
        })
      )
    })
    return Effect.sync(() => child.kill("SIGKILL"))
  })

/** A file that holds the first bytes, as an interrupted download leaves it. */
const begun = Effect.map(temporaryDirectory, (directory) => {
  const path = Path.join(directory, "talk.wav")
  Fs.writeFileSync(path, whole.subarray(0, 1_234_567))
  return path
})

layer(servedPlayback(recording), { excludeTestServices: true })("a signed URL", (it) => {
  for (const [name, args] of [
    ["curl", (url: string, path: string) => ["-sS", "--fail", "-C", "-", "-o", path, url]],
    ["wget", (url: string, path: string) => ["-q", "-c", "-O", path, url]]
  ] as const) {
    const program = findProgram(name, `a test of downloads that ${name} resumes`)
    it.effect.skipIf(program === undefined)(`resumes a download of ${name} at its byte`, () =>
      Effect.gen(function* () {
        const path = yield* begun
        const before = recording.bytesRead
        yield* run(program ?? "", ...args(yield* url, path))
        assert.isTrue(Fs.readFileSync(path).equals(whole))
        assert.strictEqual(recording.bytesRead - before, whole.length - 1_234_567)
      })
    )
  }

  const aria = findProgram("aria2c", "a test of downloads over several connections")
  it.effect.skipIf(aria === undefined)("is downloaded over several connections", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const options = ["-q", "--no-conf", "-x4", "-s4", "-k1M", "-d", directory, "-o", "talk.wav"]
      yield* run(aria ?? "", ...options, yield* url)
      assert.isTrue(Fs.readFileSync(Path.join(directory, "talk.wav")).equals(whole))
    })
  )

  const ffmpeg = findProgram("ffmpeg", "a test of seeking with ffmpeg")
  it.effect.skipIf(ffmpeg === undefined)("is played by ffmpeg from any second, to the sample", () =>
    Effect.gen(function* () {
      for (const second of [0, 59, 60, 100]) {
        const options = ["-v", "error", "-ss", String(second), "-i", yield* url, "-t", "1", "-f", "s16le", "-"]
        const heard = yield* run(ffmpeg ?? "", ...options)
        assert.isTrue(heard.equals(pcm.subarray(second * rate * 2, (second + 1) * rate * 2)), `second ${second}`)
      }
    })
  )
})

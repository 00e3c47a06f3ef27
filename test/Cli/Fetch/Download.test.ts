/** A download has its name only when it is complete. */
import { assert, layer } from "@effect/vitest"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect, FileSystem, Layer, Option, Redacted } from "effect"
import { CliConfig } from "../../../src/Cli/CliConfig.ts"
import * as Destination from "../../../src/Cli/Fetch/Destination.ts"
import * as Download from "../../../src/Cli/Fetch/Download.ts"
import { Screen } from "../../../src/Cli/Screen.ts"
import { fakeServer } from "../support/FakeServer.ts"
import { environment } from "../../support/Settings.ts"

/** Messages since the last call. */
const lines: Array<string> = []

const world = Layer.mergeAll(
  CliConfig.layer,
  Layer.mock(Screen, { print: (line) => Effect.sync(() => void lines.push(line)), progress: () => Effect.void }),
  NodeHttpClient.layerUndici,
  NodeServices.layer
).pipe(Layer.provide(environment({ CLI_BACKOFF: "1 millis", SPILLWAY_CLI_TRIES: "9" })))

const file = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 31) % 251))

const shorter = Buffer.from(Array.from({ length: 50_000 }, (_, i) => (i * 17) % 241))

const fetched = Effect.fnUntraced(function* (url: string, path = "/v1/sync/audio/c/f") {
  const fs = yield* FileSystem.FileSystem
  const to = `${yield* fs.makeTempDirectoryScoped()}/out.wav`
  const result = yield* Effect.result(
    Effect.flatMap(Destination.file(to), (to) =>
      Download.run({ target: { url, key: Redacted.make("k") }, path, to, seconds: 300 })
    )
  ).pipe(Effect.scoped)
  const message = result._tag === "Failure" ? result.failure.message : ""
  const part = yield* Effect.option(fs.readFile(`${to}.part`))
  return { result, message, to, part, there: yield* fs.exists(to), bytes: Effect.map(fs.readFile(to), Buffer.from) }
})

layer(world, { excludeTestServices: true })("a download", (it) => {
  it.effect("resumes after a cut with the missing bytes of the same version", () =>
    Effect.gen(function* () {
      const { seen, url } = yield* fakeServer({ file, cutAfter: [100_000, 50_000] })
      const { bytes } = yield* fetched(url)
      assert.isTrue((yield* bytes).equals(file))
      assert.deepStrictEqual(seen.statuses, [200, 206, 206])
      assert.strictEqual(seen.ranges[0], undefined)
      assert.match(seen.ranges[1] ?? "", /^bytes=[1-9]\d*-$/)
    })
  )

  it.effect("starts over when a shorter file has replaced the first one", () =>
    Effect.gen(function* () {
      const { url } = yield* fakeServer({ file, cutAfter: [200_000], replacedBy: shorter })
      assert.isTrue((yield* (yield* fetched(url)).bytes).equals(shorter))
    })
  )

  it.effect("survives as many cuts at the same byte as it has attempts", () =>
    Effect.gen(function* () {
      const { seen, url } = yield* fakeServer({ file, cutAfter: [100_000, 0, 0, 0, 0, 0, 0] })
      assert.isTrue((yield* (yield* fetched(url)).bytes).equals(file))
      assert.isAbove(seen.ranges.length, 4)
    })
  )

  it.effect("fails with the byte it stopped at when it makes no progress, and keeps the received audio", () =>
    Effect.gen(function* () {
      const { url } = yield* fakeServer({ file, cutAfter: [100_000, 50_000, ...Array.from({ length: 50 }, () => 0)] })
      lines.length = 0
      const { message, part, there, to } = yield* fetched(url)
      // How much of the data sent before a cut the client still reads is not defined.
      const came = Buffer.from(Option.getOrThrow(part))
      const at = `byte ${came.length} (${Math.floor(came.length / 60_000)}:${String(Math.round(came.length / 1_000) % 60).padStart(2, "0")})`
      assert.strictEqual(message, `The server cut the response at ${at}. Gave up after 9 tries without progress.`)
      assert.isAbove(came.length, 0)
      assert.isTrue(came.equals(file.subarray(0, came.length)))
      assert.isFalse(there)
      assert.strictEqual(lines.at(-1), `The partial download is in ${to}.part.`)
      for (const line of lines) assert.notMatch(line, /No Spillway|\.\./)
    })
  )

  it.effect("leaves no file behind when no audio was received", () =>
    Effect.gen(function* () {
      const { url } = yield* fakeServer({ file, cutAfter: [44, ...Array.from({ length: 50 }, () => 0)] })
      const { message, part, there } = yield* fetched(url)
      assert.match(message, /^The server cut the response at byte (44|0) \(0:00\)/)
      assert.deepStrictEqual([there, part._tag], [false, "None"])
    })
  )

  it.effect("fails at once with the server's message when audio is permanently unreadable", () =>
    Effect.gen(function* () {
      const problem = {
        type: "urn:spillway:problem:audio-unreadable",
        title: "Recorded audio can't be read",
        detail: "The audio of c from then to then can't be read as it is stored now."
      }
      const unreadable = { status: 500, problem }
      const { seen, url } = yield* fakeServer({ file, cutAfter: [100_000], refuseDownload: [undefined, unreadable] })
      const { message, part } = yield* fetched(url)
      assert.strictEqual(message, `The server answers 500: ${problem.title}. ${problem.detail}`)
      assert.deepStrictEqual([seen.statuses, part._tag], [[200, 500], "Some"])
    })
  )

  it.effect("retries every transient response", () =>
    Effect.gen(function* () {
      const busy = { status: 503, problem: { title: "The store does not answer", detail: "Try again." } }
      const others = [408, 425, 429, 500].map((status) => ({ status }))
      const { seen, url } = yield* fakeServer({ file, refuseDownload: [busy, ...others, undefined] })
      lines.length = 0
      assert.isTrue((yield* (yield* fetched(url)).bytes).equals(file))
      assert.deepStrictEqual(seen.statuses, [503, 408, 425, 429, 500, 200])
      assert.match(lines[0] ?? "", /^The server answers 503: The store does not answer\. Try again\. Reconnecting in /)
    })
  )

  it.effect("says that nothing listens at the address", () =>
    Effect.gen(function* () {
      const { close, url } = yield* fakeServer({ file })
      close()
      const { message, part } = yield* fetched(url)
      assert.match(message, /^No Spillway answers at .* Gave up after 9 tries without progress\.$/)
      assert.strictEqual(part._tag, "None")
    })
  )

  it.effect("fails at once with the server's message when the store has lost the audio", () =>
    Effect.gen(function* () {
      const problem = { type: "urn:spillway:problem:audio-missing", title: "Recorded audio is missing" }
      const { seen, url } = yield* fakeServer({ file, refuseDownload: [{ status: 404, problem }] })
      assert.strictEqual((yield* fetched(url)).message, `The server answers 404: ${problem.title}`)
      assert.deepStrictEqual(seen.statuses, [404])
    })
  )

  it.effect("fails at once when the audio file does not exist", () =>
    Effect.gen(function* () {
      const { url } = yield* fakeServer({ file })
      const { result, there } = yield* fetched(url, "/nothing")
      assert.match(result._tag === "Failure" ? result.failure.message : "", /404/)
      assert.isFalse(there)
    })
  )
})

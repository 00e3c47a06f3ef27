/** The messages of a start. */
import * as Path from "node:path"
import { assert, it } from "@effect/vitest"
import { Console, Effect, Layer, Logger, Option, Redacted } from "effect"
import { AdminKey } from "../../src/Auth/AdminKey.ts"
import * as Announcement from "../../src/Server/Announcement.ts"
import { HttpConfig } from "../../src/Http/HttpConfig.ts"
import * as PublicAddress from "../../src/Server/PublicAddress.ts"
import * as Telemetry from "../../src/Telemetry.ts"
import { testDirectory, testServer } from "../support/TestServer.ts"
import { environment, listening } from "../Http/support/Served.ts"

const key = `spw_${"k".repeat(43)}`
const firstStart = {
  created: Option.some({ secret: Redacted.make(key), file: "/d/admin-key" }),
  location: "it is in a file"
}

/** The printed and the logged lines of the first start. */
const messages = Effect.fnUntraced(function* (attended: boolean) {
  const printed: Array<string> = []
  const logged: Array<string> = []
  yield* Layer.build(
    Announcement.layer.pipe(
      Layer.provide([listening, PublicAddress.layer, Layer.succeed(AdminKey, firstStart)]),
      Layer.provide(HttpConfig.layer),
      Layer.provide(environment({})),
      Layer.provide(Logger.layer([Logger.make(({ message }) => void logged.push(String(message)))]))
    )
  ).pipe(
    Effect.provideService(Telemetry.Interactive, attended),
    Effect.updateService(Console.Console, (console) => ({ ...console, log: (line) => void printed.push(line) }))
  )
  const withoutPort = (line: string) => line.replace(/127\.0\.0\.1:\d+/, "HERE")
  return { printed: printed.map(withoutPort), logged: logged.map(withoutPort) }
})

it.effect("prints the new key and a link with it at a terminal", () =>
  Effect.gen(function* () {
    assert.deepStrictEqual(yield* messages(true), {
      printed: [
        "Spillway listens on http://HERE",
        `The admin key, shown only now and stored in /d/admin-key: ${key}`,
        `Open http://HERE/#key=${key} in a browser: this link contains the key`
      ],
      logged: []
    })
  })
)

it.effect("logs two lines without the key when there is no terminal", () =>
  Effect.gen(function* () {
    assert.deepStrictEqual(yield* messages(false), {
      printed: [],
      logged: ["Spillway listens on http://HERE", "Open http://HERE/ in a browser: it is in a file"]
    })
  })
)

it("writes only JSON to a pipe at any log level, and says where the key is", async () => {
  const dataDir = testDirectory()
  const start = async (env: Readonly<Record<string, string>> = {}) => {
    const server = await testServer({ SPILLWAY_LOG_LEVEL: "Error", ...env }, dataDir)
    while (!server.output().includes("in a browser")) await new Promise(setImmediate)
    await server.stop()
    const messages = server
      .output()
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line).message)
    return { server, messages }
  }
  const kept = `the admin key is in ${Path.join(dataDir, "admin-key")}`
  for (const { messages, server } of [await start(), await start()]) {
    assert.deepStrictEqual(messages, [`Spillway listens on ${server.url}`, `Open ${server.url}/ in a browser: ${kept}`])
  }
  const preset = await start({ SPILLWAY_ADMIN_KEY: key })
  assert.match(preset.messages[1], /: the admin key is the value of SPILLWAY_ADMIN_KEY$/)
  assert.notInclude(preset.server.output(), "spw_")
})

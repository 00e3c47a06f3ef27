/** An import while the store or the database is down for longer than they retry. */
import { assert, it } from "@effect/vitest"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect, Layer, Option } from "effect"
import { Command } from "effect/cli"
import { CliConfig } from "../../../src/Cli/CliConfig.ts"
import * as StoreCommands from "../../../src/Cli/Store/StoreCommands.ts"
import { Screen } from "../../../src/Cli/Screen.ts"
import { DbTimeout, DbUnavailable } from "../../../src/Db.ts"
import { Import, type Imported } from "../../../src/Recording/Import/Import.ts"
import * as MemoryStorage from "../../../src/Storage/MemoryStorage.ts"
import { StorageRefused, StorageUnavailable } from "../../../src/Storage.ts"
import { environment } from "../../support/Settings.ts"

type Failure = DbTimeout | DbUnavailable | StorageRefused | StorageUnavailable

const nothing = { added: 0, known: 1, odd: 0, undrawn: 0, skipped: [], ignored: [], next: Option.none() }

/** The number of requests for a page, and the messages, when the first requests fail with these errors. */
const imported = Effect.fnUntraced(function* (failures: ReadonlyArray<Failure>) {
  const said: Array<string> = []
  let asked = 0
  const page = Effect.suspend((): Effect.Effect<Imported, Failure> => {
    const failure = failures[asked++]
    return failure === undefined ? Effect.succeed(nothing) : Effect.fail(failure)
  })
  const exit = yield* Effect.exit(
    Command.runWith(StoreCommands.ImportCommand, { version: "0" })(["--uid", "ada"]).pipe(
      Effect.provide([
        Layer.mock(Import, { page: () => page, place: () => ({ bucket: "b", prefix: "chunks/ada/" }) }),
        Layer.mock(Screen, { print: (text) => Effect.sync(() => void said.push(text)) }),
        CliConfig.layer.pipe(Layer.provide(environment({ CLI_BACKOFF: "1 millis" }))),
        MemoryStorage.layer,
        NodeServices.layer
      ])
    )
  )
  return { asked, said, ended: exit._tag }
})

const at = { operation: "list", bucket: "b", key: "chunks/ada/" }

it.live("continues when the store or the database answers again", () =>
  Effect.gen(function* () {
    const { asked, ended, said } = yield* imported([
      new DbUnavailable({ operation: "ImportRows.insert", attempts: 6, cause: new Error("down") }),
      new DbTimeout({ operation: "ImportRows.insert", limit: "deadline" }),
      new StorageUnavailable({ ...at, cause: "down" })
    ])
    assert.deepStrictEqual([asked, ended], [4, "Success"])
    assert.match(said[0] ?? "", /^The database does not answer\. Reconnecting in /)
    assert.match(said[1] ?? "", /^The database is too slow\. Reconnecting in /)
    assert.match(said[2] ?? "", /^can't list b\/chunks\/ada\/: down\. Reconnecting in /)
  })
)

it.live("fails at once when the store rejects the request", () =>
  Effect.gen(function* () {
    const { asked, ended } = yield* imported([new StorageRefused({ ...at, reason: "no permission" })])
    assert.deepStrictEqual([asked, ended], [1, "Failure"])
  })
)

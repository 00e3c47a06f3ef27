/** What a start says of the bucket: which it is, why it can't be used or reached, and what to do about it. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Logger, Option } from "effect"
import { join } from "node:path"
import { allPermissions } from "../../support/gcs/Server.ts"
import { account, bucket, keyFile, layerFor, startServer } from "../support/TestGcs.ts"

/** What a start fails with, or warns of. */
const said = (url: string, config: Parameters<typeof layerFor>[1] = {}) =>
  Effect.gen(function* () {
    const warnings: Array<string> = []
    const logger = Logger.make(({ message }) => void warnings.push([message].flat().map(String).join(" ")))
    const start = Effect.scoped(Effect.provide(Effect.void, layerFor(url, config), { local: true }))
    const failure = yield* Effect.result(Effect.provide(start, Logger.layer([logger])))
    return failure._tag === "Failure" ? failure.failure.message : warnings.join("\n")
  })

const withKey = Effect.map(keyFile, (path) => ({ keyFile: Option.some(path) }))

describe("a start", () => {
  it.live("says which store can't be reached, where, why, and which setting could be wrong", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const key = yield* withKey
        const nowhere = yield* said("http://no-such-host.invalid:4443", key)
        assert.include(nowhere, `bucket "${bucket}" at http://no-such-host.invalid:4443 can't be reached now`)
        assert.match(nowhere, /ENOTFOUND|EAI_AGAIN/)
        assert.include(nowhere, "is SPILLWAY_GCS_ENDPOINT right?")
        const closed = yield* said("http://127.0.0.1:1", key)
        assert.match(closed, /at http:\/\/127\.0\.0\.1:1 can't be reached now \(.*ECONNREFUSED.*\); audio waits/)
        assert.notInclude(closed, "\n")
        assert.notInclude(closed, "isTransient")
      })
    )
  )

  it.live("names the bucket, the account and the role when a permission is missing", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const permissions = allPermissions.filter((permission) => permission !== "storage.objects.create")
        const server = yield* startServer({ account, permissions })
        const lacking = yield* said(server.url, yield* withKey)
        assert.include(lacking, `can't open bucket "${bucket}": `)
        assert.include(lacking, "storage.objects.create")
        assert.include(lacking, `give ${account.clientEmail} the role Storage Object Admin`)
        server.faults.add({ operation: "list", fault: { kind: "status", status: 403 } })
        const refused = yield* said(server.url, yield* withKey)
        assert.include(refused, `give ${account.clientEmail} the role Storage Object Admin`)
      })
    )
  )

  it.live("says once that the key file does not exist", () =>
    Effect.gen(function* () {
      const path = join("/nowhere", "key.json")
      const missing = yield* said("http://127.0.0.1:1", { keyFile: Option.some(path) })
      assert.include(missing, `can't open bucket "${bucket}": no usable Google credentials`)
      assert.include(missing, path)
      assert.strictEqual(missing.split("ENOENT").length, 2, missing)
    })
  )
})

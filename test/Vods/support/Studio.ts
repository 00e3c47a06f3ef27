/** A server whose database the tests of a file write to, and requests to it. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { PgClient } from "@effect/sql-pg"
import { Context, Effect, Layer } from "effect"
import { Reactivity } from "effect/reactivity"
import { DbServer } from "../../../src/Db/DbServer.ts"
import { urlOf } from "../../support/DatabaseUrl.ts"
import * as Postgres from "../../support/Postgres.ts"
import { dataDirectory, startServer } from "../../support/Server.ts"

const adminKey = `spw_${"k".repeat(43)}`

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly body: ReturnType<typeof JSON.parse>
}

interface Request {
  readonly body?: unknown
  readonly headers?: Record<string, string>
  /** Null: none. Without it, that of the admin. */
  readonly key?: string | null
}

const studio = (env: Readonly<Record<string, string>>) =>
  Effect.gen(function* () {
    const { login } = yield* DbServer
    const run = Effect.runPromiseWith(yield* Effect.context<never>())
    const sql = yield* Effect.provide(PgClient.make({ ...login, maxConnections: 5 }), Reactivity.layer)
    const directory = dataDirectory()
    const server = yield* Effect.promise(() =>
      startServer(directory, { DATABASE_URL: urlOf(login), SPILLWAY_ADMIN_KEY: adminKey, ...env })
    )
    yield* Effect.addFinalizer(() =>
      Effect.promise(async () => {
        await server.kill()
        Fs.rmSync(Path.dirname(directory), { recursive: true, force: true, maxRetries: 20 })
      })
    )
    const call = async (method: string, path: string, { body, headers = {}, key = adminKey }: Request = {}) => {
      const response = await fetch(server.url + path, {
        method,
        headers: {
          ...(key === null ? {} : { authorization: `Bearer ${key}` }),
          ...(body === undefined ? {} : { "content-type": "application/json" }),
          ...headers
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) })
      })
      const text = await response.text()
      const answer: Answer = {
        status: response.status,
        headers: response.headers,
        body: JSON.parse(text === "" ? "null" : text)
      }
      return answer
    }
    return {
      server,
      sql,
      call,
      query: <Row extends object>(text: string) => run(sql.unsafe<Row>(text)),
      keyOf: async (uid: string): Promise<string> => (await call("POST", "/v1/keys", { body: { uid } })).body.key
    }
  })

export class Studio extends Context.Service<Studio, Effect.Success<ReturnType<typeof studio>>>()(
  "spillway/test/Vods/support/Studio"
) {
  static readonly layer = (env: Readonly<Record<string, string>> = {}) =>
    Layer.effect(Studio, studio(env)).pipe(Layer.provide(Postgres.layerServer))
}

export const test = (body: (studio: Studio["Service"]) => Promise<void>) =>
  Studio.use((studio) => Effect.promise(() => body(studio)))

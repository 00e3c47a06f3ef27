/** `src/Webhooks` on several nodes: events arrive once, and at least once when nodes are killed. */
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { DbServer } from "../../src/Db/DbServer.ts"
import { Db } from "../../src/Db.ts"
import * as Events from "../../src/Events.ts"
import * as Pusher from "../../src/Pusher.ts"
import * as Janitor from "../../src/Webhooks/Janitor.ts"
import * as Postgres from "../support/Postgres.ts"
import { complaints, deliverWithKills } from "./support/Kills.ts"
import { startReceiver } from "./support/Receiver.ts"
import * as World from "./support/World.ts"

const node = Layer.fresh(
  Layer.merge(Janitor.layer, Events.Events.layer).pipe(
    Layer.provide(Pusher.LiveAudio.layer),
    Layer.provideMerge(World.configured)
  )
)

layer(World.layer, { excludeTestServices: true })("Two nodes", (it) => {
  it.effect("deliver each event once, whichever of them has committed it", () =>
    Effect.gen(function* () {
      const [endpoints, events] = [20, 600]
      const db = yield* Db
      const receiver = yield* startReceiver()
      for (let n = 0; n < endpoints; n++) yield* World.endpoint(`u${n}`, receiver.url)
      const nodes = [yield* Layer.build(node), yield* Layer.build(node)]
      const ids: Array<string> = []
      yield* Effect.forEach(
        Array.from({ length: events }, (_, n) => n),
        (n) =>
          Effect.gen(function* () {
            const event = yield* Events.make(World.said, { uid: `u${n % endpoints}`, data: { n } })
            const { append } = Context.get(nodes[n % 2] ?? (yield* Layer.build(node)), Events.Events)
            yield* db.transaction("test.append", (sql) => append(sql, [event]))
            ids.push(`evt_${event.id.replaceAll("-", "")}`)
          }),
        { concurrency: 8, discard: true }
      )
      const pending = Effect.map(World.deliveries, (rows) => rows.filter(({ state }) => state === "pending"))
      yield* Effect.repeat(Effect.delay(pending, "20 millis"), { until: ({ length }) => length === 0 })
      assert.deepStrictEqual(receiver.ids().toSorted(), ids.toSorted())
    })
  )
})

layer(Postgres.layerServer, { excludeTestServices: true })("A server that is killed", (it) => {
  it.effect("delivers each event at least once, with the same id and body", () =>
    Effect.gen(function* () {
      const { login } = yield* DbServer
      // `npm run webhooks` makes 50 kills.
      const report = yield* Effect.promise(() => deliverWithKills(login, { events: 150, kills: 2, seed: 20_261_129 }))
      console.log(JSON.stringify(report))
      assert.deepStrictEqual(complaints(report), [])
    })
  )
})

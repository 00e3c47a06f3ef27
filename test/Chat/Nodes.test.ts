/** `src/Chat` on two nodes, one of which is killed: every message reaches everyone once, in order. */
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { DbServer } from "../../src/Db/DbServer.ts"
import { urlOf } from "../support/DatabaseUrl.ts"
import * as Postgres from "../support/Postgres.ts"
import { dataDirectory, type Server, startServer } from "../support/Server.ts"
import { call, type ChatSocket, keyOf, openChat, path, type Target } from "./support/ChatClient.ts"

const readers = 200
const users = 8
const messagesOfUser = 20
const adminKey = `spw_${"k".repeat(43)}`

const bounds = {
  CHAT_ATTEMPTS_PER_MINUTE: "100000",
  CHAT_SOCKETS_PER_ADDRESS: "1000",
  CHAT_SOCKETS_PER_STREAM: "1000",
  SPILLWAY_ADMIN_KEY: adminKey
}

interface Page {
  readonly messages: ReadonlyArray<{ readonly id: number; readonly text: string }>
  readonly after_id: number | null
}

/** Follows the chat at the first of the nodes that answers, and continues at another one after the last id that it received. */
const follow = (nodes: ReadonlyArray<Target>, slug: string) => {
  const received: Array<number> = []
  let [at, last, resumed, isOver] = [0, 0, 0, false]
  let current: ChatSocket | undefined
  const connect = async (): Promise<void> => {
    const node = nodes[at % nodes.length]
    if (node === undefined || isOver) return
    current = await openChat(node, slug, { query: `?after_id=${last}` }).catch(() => undefined)
    current?.socket.on("close", () => {
      at++
      resumed++
      void connect()
    })
    if (current === undefined) {
      at++
      return connect()
    }
    const note = ({ id, type }: { readonly id?: number; readonly type: string }) => {
      if (id === undefined) return
      last = id
      if (type === "message") received.push(id)
    }
    // Those that came with the handshake, and all others.
    current.frames.forEach(note)
    current.socket.on("message", (data: Buffer) => note(JSON.parse(data.toString())))
  }
  return {
    received,
    connect,
    resumed: () => resumed,
    end: () => {
      isOver = true
      current?.socket.terminate()
    }
  }
}

/** Posts until each text is accepted, at whichever node answers, with one nonce for all attempts. */
const write = async (
  nodes: ReadonlyArray<Target>,
  slug: string,
  uid: string,
  key: string,
  posted: (n: number) => void
) => {
  for (let n = 0; n < messagesOfUser; n++) {
    let status = 0
    for (let attempt = n; status !== 201; attempt++) {
      const node = nodes[attempt % nodes.length]
      if (node === undefined) return
      const body = { text: `${uid} ${n}`, nonce: `n${n}` }
      status = await call(node, "POST", `${path}/${slug}/chat/messages`, { key, body }).then(
        (answer) => answer.status,
        () => 0
      )
    }
    posted(n)
  }
}

layer(Postgres.layerServer, { excludeTestServices: true })("Two nodes with 200 chat sockets", (it) => {
  it.effect("send every message to everyone once, in order, through the kill of one of them", () =>
    Effect.gen(function* () {
      const { login } = yield* DbServer
      const start = () => startServer(dataDirectory(), { ...bounds, DATABASE_URL: urlOf(login) })
      yield* Effect.promise(async () => {
        const nodes: [Server, Server] = [await start(), await start()]
        const [doomed, survivor] = nodes
        try {
          await call(survivor, "POST", path, { body: { slug: "show", title: "Show" } })
          const keys = await Promise.all(Array.from({ length: users }, (_, n) => keyOf(survivor, `u${n}`)))
          const all = Array.from({ length: readers }, (_, n) =>
            follow(n % 2 === 0 ? nodes : [survivor, doomed], "show")
          )
          await Promise.all(all.map(({ connect }) => connect()))
          let [posted, killed] = [0, Promise.resolve()]
          await Promise.all(
            keys.map((key, n) =>
              write(nodes, "show", `u${n}`, key, () => {
                if (++posted === (users * messagesOfUser) / 2) killed = doomed.kill()
              })
            )
          )
          await killed
          const ids: Array<number> = []
          const texts = new Set<string>()
          for (let after: number | null = 0; after !== null;) {
            const page: Page = (await call(survivor, "GET", `${path}/show/chat/messages?limit=100&after_id=${after}`))
              .body
            for (const { id, text } of page.messages) {
              ids.push(id)
              texts.add(text)
            }
            after = page.after_id
          }
          assert.lengthOf(ids, users * messagesOfUser)
          assert.strictEqual(texts.size, users * messagesOfUser)
          for (const reader of all)
            while (reader.received.length < ids.length) await new Promise((resolve) => setTimeout(resolve, 20))
          for (const reader of all) assert.deepStrictEqual(reader.received, ids)
          assert.strictEqual(all.filter(({ resumed }) => resumed() > 0).length, readers / 2)
          for (const reader of all) reader.end()
        } finally {
          await Promise.all(nodes.map((node) => node.kill()))
        }
      })
    })
  )
})

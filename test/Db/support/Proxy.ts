/** A proxy between client and server that breaks connections at a chosen moment. */
import { type Socket, connect, createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { randomBytes } from "node:crypto"
import { Effect, Layer } from "effect"
import { DbServer } from "../../../src/Db/DbServer.ts"

/** What to do when the client sends something: pass it on, or break the connection before or after the server has it. */
export type Verdict = "pass" | "breakBefore" | "breakAfter" | "silence"

export interface Proxy {
  /** Called for each write of the client. */
  onClient: (text: string) => Verdict
  /** Stops all traffic on the open connections without closing them. */
  readonly freeze: () => void
  readonly breakAll: () => void
}

const relay = (client: Socket, target: string, proxy: Proxy, frozen: () => boolean) => {
  const server = connect(target)
  const close = () => {
    client.destroy()
    server.destroy()
  }
  client.on("error", close)
  server.on("error", close)
  let silent = false
  const passes = () => !frozen() && !silent
  client.on("close", () => (passes() ? server.end() : undefined))
  server.on("close", () => (passes() ? client.destroy() : undefined))
  client.on("data", (data) => {
    if (!passes()) return
    const verdict = proxy.onClient(data.toString("latin1"))
    if (verdict === "silence") silent = true
    if (verdict === "breakBefore") return close()
    if (verdict === "breakAfter") {
      // The server's response proves that it received the write; it is dropped.
      server.removeAllListeners("data")
      server.once("data", close)
    }
    if (verdict !== "silence") server.write(data)
  })
  server.on("data", (data) => {
    if (passes()) client.write(data)
  })
  return close
}

const open = (target: string) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly proxy: Proxy; readonly directory: string; readonly close: () => void }>((resume) => {
      const closers = new Set<() => void>()
      let frozenBefore = 0
      let count = 0
      const proxy: Proxy = {
        onClient: () => "pass",
        freeze: () => (frozenBefore = count),
        breakAll: () => closers.forEach((close) => close())
      }
      const listener = createServer((client) => {
        const number = ++count
        const close = relay(client, target, proxy, () => number <= frozenBefore)
        closers.add(close)
      })
      const directory = join(tmpdir(), `spillway-proxy-${randomBytes(6).toString("hex")}`)
      listener.listen(`${directory}.s.PGSQL.5432`, () =>
        resume(
          Effect.succeed({
            proxy,
            directory: `${directory}.s.PGSQL.5432`,
            close: () => {
              listener.close()
              for (const end of closers) end()
            }
          })
        )
      )
    }),
    ({ close }) => Effect.sync(close)
  )

/** The same database, reached through a proxy. */
export const through = (server: DbServer["Service"]) =>
  Effect.gen(function* () {
    const { host, port } = server.login
    const { proxy, directory } = yield* open(`${host}/.s.PGSQL.${port}`)
    const { host: _host, port: _port, ...login } = server.login
    return { proxy, server: { ...server, login: { ...login, path: directory } } }
  })

export const layerServer = (server: DbServer["Service"]) => Layer.succeed(DbServer, server)

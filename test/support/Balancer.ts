/** A balancer of TCP connections before several servers, as operators have one: each goes to the server with the fewest. */
import { connect, createServer, type Socket } from "node:net"

export interface Balancer {
  readonly url: string
  /** Resets one connection, the `share`-th part of them. */
  readonly cut: (share: number) => void
  readonly stop: () => Promise<void>
}

/** `servers`: the URLs of those that accept connections now. Without one, a connection is reset. */
export const startBalancer = async (servers: () => ReadonlyArray<string>): Promise<Balancer> => {
  const open = new Map<Socket, string>()
  const least = (): string | undefined => {
    const counts = new Map(servers().map((url) => [url, 0]))
    for (const url of open.values()) if (counts.has(url)) counts.set(url, (counts.get(url) ?? 0) + 1)
    return [...counts].toSorted(([, a], [, b]) => a - b)[0]?.[0]
  }
  const listener = createServer({ noDelay: true }, (client) => {
    client.on("error", () => {})
    const url = least()
    if (url === undefined) return void client.resetAndDestroy()
    open.set(client, url)
    const server = connect({ host: "127.0.0.1", port: Number(new URL(url).port), noDelay: true })
    server.on("error", () => {})
    server.once("close", () => client.destroy())
    client.once("close", () => {
      open.delete(client)
      server.destroy()
    })
    client.pipe(server)
    server.pipe(client)
  })
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve))
  const address = listener.address()
  return {
    url: `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`,
    cut: (share) => [...open.keys()][Math.floor(share * open.size)]?.resetAndDestroy(),
    stop: async () => {
      for (const socket of open.keys()) socket.destroy()
      await new Promise((resolve) => listener.close(resolve))
    }
  }
}

/** Free ports, for programs that must be given one, or that restart on it. */
import { createServer } from "node:net"

/** Below the ports that systems assign by themselves, so that no other socket takes a free port before its program does. */
const [first, count] = [20_000, 12_000]

export const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const port = first + Math.floor(Math.random() * count)
    const server = createServer()
      .once("error", () => resolve(freePort()))
      .listen(port, "127.0.0.1", () => server.close(() => resolve(port)))
  })

/** An HTTP server that receives webhooks. */
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import { Effect } from "effect"

export interface Received {
  readonly path: string
  readonly headers: Http.IncomingHttpHeaders
  readonly body: string
  readonly at: number
}

export interface Reply {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

/** Undefined: it never answers. */
type Answer = (received: Received) => Reply | undefined

export const accept: Answer = () => ({ status: 204 })

/** Answers with these statuses, one after the other; the last one repeats. */
export const sequence = (...statuses: ReadonlyArray<number>) => {
  let index = 0
  return (): Reply => ({ status: statuses[Math.min(index++, statuses.length - 1)] ?? 500 })
}

/** Ends with the scope, with all of its connections. */
export const startReceiver = (answer: Answer = accept) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly server: Http.Server; readonly received: Array<Received> }>((resume) => {
      const received: Array<Received> = []
      const server = Http.createServer((request, response) => {
        const pieces: Array<Buffer> = []
        request.on("data", (piece: Buffer) => pieces.push(piece))
        request.on("end", () => {
          const { headers, url = "" } = request
          const one = { path: url, headers, body: Buffer.concat(pieces).toString(), at: performance.now() }
          received.push(one)
          const reply = answer(one)
          if (reply !== undefined) response.writeHead(reply.status, { ...reply.headers }).end(reply.body)
        })
      })
      server.keepAliveTimeout = 60_000
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed({ server, received })))
    }),
    ({ server }) =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.closeAllConnections()
      })
  ).pipe(
    Effect.map(({ received, server }) => {
      const address = server.address() as AddressInfo
      return {
        url: `http://127.0.0.1:${address.port}/hook`,
        received,
        ids: () => received.map(({ headers }) => String(headers["webhook-id"]))
      }
    })
  )

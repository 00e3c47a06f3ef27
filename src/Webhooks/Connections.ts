/** Connections of webhooks: at most 64, at most 8 of a host, kept alive between requests. */
import type { LookupFunction } from "node:net"
import type * as Undici from "undici"
import { Duration } from "effect"
import * as TargetUrl from "./TargetUrl.ts"

/** Open connections. One more closes the one that has been idle for longest. */
export const maxOpen = 64

/** Open connections of a host, and requests to it at once. */
export const maxOpenPerHost = 8

const connectLimit = Duration.seconds(2)

export interface Connection {
  readonly client: Undici.Client
  readonly origin: string
  readonly host: string
}

export class Connections {
  readonly #lookup: LookupFunction
  /** By the time since when they have been idle. */
  readonly #idle = new Set<Connection>()
  /** Hosts with open connections. */
  readonly #open = new Map<string, number>()
  #total = 0

  constructor(lookup: LookupFunction) {
    this.#lookup = lookup
  }

  get total(): number {
    return this.#total
  }

  /** An idle connection or a new one. The caller has bounded its requests, in all and for each host. */
  take(url: URL, { Client }: Pick<typeof Undici, "Client">): Connection {
    const idle = this.#oldestIdle(({ origin }) => origin === url.origin)
    if (idle !== undefined) {
      this.#idle.delete(idle)
      return idle
    }
    const host = TargetUrl.hostOf(url)
    if ((this.#open.get(host) ?? 0) >= maxOpenPerHost) this.#closeIdle((each) => each.host === host)
    if (this.#total >= maxOpen) this.#closeIdle(() => true)
    const client = new Client(url.origin, {
      allowH2: false,
      pipelining: 1,
      // The caller limits the whole request.
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: { timeout: Duration.toMillis(connectLimit), lookup: this.#lookup }
    })
    this.#total++
    this.#open.set(host, (this.#open.get(host) ?? 0) + 1)
    return { client, origin: url.origin, host }
  }

  /** `isReusable`: the whole response has been read. */
  release(connection: Connection, isReusable: boolean): void {
    if (isReusable) this.#idle.add(connection)
    else this.#close(connection)
  }

  closeIdle(): void {
    for (const connection of this.#idle) this.#close(connection)
  }

  #oldestIdle(matches: (connection: Connection) => boolean): Connection | undefined {
    for (const connection of this.#idle) if (matches(connection)) return connection
    return undefined
  }

  #closeIdle(matches: (connection: Connection) => boolean): void {
    const oldest = this.#oldestIdle(matches)
    if (oldest !== undefined) this.#close(oldest)
  }

  #close(connection: Connection): void {
    this.#idle.delete(connection)
    this.#total--
    const left = (this.#open.get(connection.host) ?? 1) - 1
    if (left === 0) this.#open.delete(connection.host)
    else this.#open.set(connection.host, left)
    connection.client.destroy(null, () => {})
  }
}

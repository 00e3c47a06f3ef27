/** Clients: their addresses, and rates for bounds per address or user. */
import { BlockList, isIP } from "node:net"
import { Option } from "effect"
import type { HttpServerRequest } from "effect/http"
import { BoundedMap } from "../BoundedMap.ts"

/** Addresses of proxies: this machine and private networks. */
const proxies = new BlockList()
for (const [net, prefix] of [
  ["127.0.0.0", 8],
  ["10.0.0.0", 8],
  ["172.16.0.0", 12],
  ["192.168.0.0", 16],
  ["100.64.0.0", 10]
] as const)
  proxies.addSubnet(net, prefix)
proxies.addAddress("::1", "ipv6")
proxies.addSubnet("fc00::", 7, "ipv6")

const isProxy = (address: string) => {
  const family = isIP(address)
  return family !== 0 && proxies.check(address, family === 4 ? "ipv4" : "ipv6")
}

/** An IPv6 client has a network of 64 bits: its addresses count as one. */
const networkOf = (address: string) => {
  if (isIP(address) !== 6) return address
  const [head = "", tail] = address.split("::")
  const groups = head === "" ? [] : head.split(":")
  const after = tail === undefined || tail === "" ? [] : tail.split(":")
  const zeros = tail === undefined ? [] : Array.from({ length: 8 - groups.length - after.length }, () => "0")
  return [...groups, ...zeros, ...after]
    .slice(0, 4)
    .map((group) => group.toLowerCase().replace(/^0+(?=.)/, ""))
    .join(":")
}

/**
 * The address of the connection, or, if that is a proxy's, the last one in `X-Forwarded-For`, which the proxy has added. Empty
 * if it is unknown. Not for authorization: a client in a private network can send any.
 */
export function addressOf({ headers, remoteAddress }: HttpServerRequest.HttpServerRequest): string {
  const connection = Option.getOrElse(remoteAddress, () => "").replace(/^::ffff:(?=\d+\.)/i, "")
  const forwarded = headers["x-forwarded-for"]?.split(",").at(-1)?.trim() ?? ""
  return networkOf(isProxy(connection) && isIP(forwarded) !== 0 ? forwarded : connection)
}

/** Keys with a rate. At the bound, the one that acted longest ago begins anew. */
const maxKeys = 10_000

const minute = 60_000

/** Of users or addresses on this node: a burst of as many as a minute has, and then one at a time. */
export class Rate {
  readonly #interval: number
  readonly #now: () => number
  /** When the key has used up nothing of its burst again. */
  readonly #restored = new BoundedMap<number>(maxKeys)

  /** `now`: milliseconds. */
  constructor(perMinute: number, now: () => number) {
    this.#interval = minute / perMinute
    this.#now = now
  }

  /** Counts an action, and returns 0; or the milliseconds until the next one may be. */
  take(key: string): number {
    const now = this.#now()
    const restored = Math.max(now, this.#restored.get(key) ?? 0) + this.#interval
    const wait = restored - now - minute
    if (wait > 0) return wait
    this.#restored.set(key, restored)
    return 0
  }
}

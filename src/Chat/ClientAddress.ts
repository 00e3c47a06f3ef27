/** The address of a client, for bounds per address. */
import { BlockList, isIP } from "node:net"
import { Option } from "effect"
import type { HttpServerRequest } from "effect/http"

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
export function clientAddress({ headers, remoteAddress }: HttpServerRequest.HttpServerRequest): string {
  const connection = Option.getOrElse(remoteAddress, () => "").replace(/^::ffff:(?=\d+\.)/i, "")
  const forwarded = headers["x-forwarded-for"]?.split(",").at(-1)?.trim() ?? ""
  return networkOf(isProxy(connection) && isIP(forwarded) !== 0 ? forwarded : connection)
}

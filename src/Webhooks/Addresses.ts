/** Which addresses webhooks may reach: public ones, and those of networks that the operator allows. */
import { Option, Result } from "effect"
import { IpNetwork, NetAddress } from "effect/net"

const networks = (...texts: ReadonlyArray<string>) => texts.map(IpNetwork.fromStringUnsafe)

/** Special-purpose networks that are not globally reachable (IANA's IPv4 registry), multicast and reserved addresses included. */
const special4 = networks(
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.0.2.0/24",
  "192.88.99.0/24",
  "192.168.0.0/16",
  "198.18.0.0/15",
  "198.51.100.0/24",
  "203.0.113.0/24",
  "224.0.0.0/3"
)

/** Of IPv6 only these are global unicast addresses; the rest is local, multicast or unassigned. */
const [global6] = networks("2000::/3")

/** Parts of it that are not globally reachable, or that lead to an IPv4 address (Teredo, 6to4). */
const special6 = networks("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")

/** Translates to the IPv4 address in its last 32 bits (RFC 6052). */
const [nat64] = networks("64:ff9b::/96")

const isIn = (address: NetAddress.IpAddress) => (network: IpNetwork.IpNetwork | undefined) =>
  network !== undefined && IpNetwork.contains(network, address)

/** The IPv4 address that an IPv4-mapped or NAT64 address stands for. */
const embedded = (address: NetAddress.Ipv6Address): Option.Option<NetAddress.Ipv4Address> =>
  isIn(address)(nat64)
    ? Option.some(NetAddress.ipv4FromBytesUnsafe(new Uint8Array(NetAddress.ipv6ToOctets(address).slice(12))))
    : NetAddress.fromIpv4Mapped(address)

export function isPublic(address: NetAddress.IpAddress): boolean {
  if (NetAddress.isIpv4Address(address)) return !special4.some(isIn(address))
  return Option.match(embedded(address), {
    onSome: isPublic,
    onNone: () => isIn(address)(global6) && !special6.some(isIn(address))
  })
}

/** The networks of a setting, separated by commas. */
export function allowedNetworks(setting: Option.Option<string>): ReadonlyArray<IpNetwork.IpNetwork> {
  return Option.match(setting, { onNone: () => [], onSome: (text) => networks(...text.split(",")) })
}

/** False for what is no address, such as one with a zone. */
export function isReachable(text: string, allowed: ReadonlyArray<IpNetwork.IpNetwork>): boolean {
  return Result.match(NetAddress.ipFromString(text), {
    onFailure: () => false,
    onSuccess: (address) => isPublic(address) || allowed.some(isIn(NetAddress.toCanonical(address)))
  })
}

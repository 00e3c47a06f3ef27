/** The URL of a webhook: what of it can be judged without a request, and the addresses that its host resolves to. */
import { lookup } from "node:dns"
import { isIP } from "node:net"
import { Context, Effect, Schema } from "effect"
import type { IpNetwork } from "effect/net"
import * as Addresses from "./Addresses.ts"

const maxLength = 2_048

export const Rule = Schema.Literals(["length", "syntax", "scheme", "credentials", "port", "host", "address"])

/** `detail` says what to change. `isTemporary`: the resolver did not answer, so the same URL can be accepted later. */
export class UrlRefused extends Schema.TaggedError<UrlRefused>()("UrlRefused", {
  rule: Rule,
  detail: Schema.String,
  isTemporary: Schema.Boolean
}) {
  override get message() {
    return this.detail
  }
}

export interface Address {
  readonly address: string
  readonly family: number
}

export type Lookup = (
  host: string,
  done: (error: NodeJS.ErrnoException | null, addresses: ReadonlyArray<Address>) => void
) => void

/** As `dns.lookup`: the system's resolver, `/etc/hosts` included. Tests have one of their own. */
export class HostLookup extends Context.Reference<Lookup>("spillway/Webhooks/HostLookup", {
  defaultValue: () => (host, done) => lookup(host, { all: true, order: "verbatim" }, done)
}) {}

export interface Rules {
  readonly allowHttp: boolean
  readonly networks: ReadonlyArray<IpNetwork.IpNetwork>
}

const refuse = (rule: typeof Rule.Type, detail: string, isTemporary = false) =>
  new UrlRefused({ rule, detail, isTemporary })

/** Without the brackets of an IPv6 address. */
export function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, "")
}

const unreachable = (address: string, host: string) =>
  refuse(
    "address",
    address === host
      ? `${address} is not a public address`
      : `${host} resolves to ${address}, which is not a public address`
  )

/** The WHATWG parser turns every spelling of an IPv4 address (decimal, octal, hexadecimal, short) into the usual one. */
export function parse(text: string, { allowHttp, networks }: Rules): Effect.Effect<URL, UrlRefused> {
  if (text.length > maxLength) return refuse("length", `a URL has at most ${maxLength} characters`)
  const url = URL.parse(text)
  if (url === null) return refuse("syntax", "this is not an absolute URL")
  if (url.protocol !== "https:" && url.protocol !== "http:") return refuse("scheme", "only https: URLs are supported")
  if (url.protocol === "http:" && !allowHttp)
    return refuse("scheme", "only https: URLs are allowed, unless SPILLWAY_WEBHOOK_ALLOW_HTTP is set")
  if (url.username !== "" || url.password !== "")
    return refuse("credentials", "a URL has no user and no password; send a header of your own instead")
  const port = Number(url.port)
  if (url.port !== "" && port !== 80 && port !== 443 && port < 1_024)
    return refuse("port", `port ${port} is not allowed: only 80, 443 and those from 1024 on are`)
  const host = hostOf(url)
  if (isIP(host) !== 0 && !Addresses.isReachable(host, networks)) return unreachable(host, host)
  return Effect.succeed(url)
}

/** Every address of the host. One that is not reachable refuses all of them. */
export const resolve = Effect.fnUntraced(function* (host: string, { networks }: Pick<Rules, "networks">) {
  const find = yield* HostLookup
  const found = yield* Effect.callback<ReadonlyArray<Address>, UrlRefused>((resume) =>
    find(host, (error, addresses) =>
      resume(
        error === null
          ? Effect.succeed(addresses)
          : refuse("host", `${host} could not be resolved (${error.code ?? error.message})`, error.code === "EAI_AGAIN")
      )
    )
  )
  if (found.length === 0) return yield* refuse("host", `${host} has no address`)
  const refused = found.find(({ address }) => !Addresses.isReachable(address, networks))
  return refused === undefined ? found : yield* unreachable(refused.address, host)
})

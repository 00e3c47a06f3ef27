/** V4 signatures (GOOG4-RSA-SHA256) of requests to the XML API, verified with the service account's public key. */
import { createHash, createVerify } from "node:crypto"
import { ApiError } from "./ApiError.ts"

/** An account whose signatures are valid. */
export interface Account {
  readonly clientEmail: string
  /** PEM. */
  readonly publicKey: string
}

export interface SignedRequest {
  readonly method: string
  /** Path and query, as received. */
  readonly target: string
  readonly headers: Readonly<Record<string, string | ReadonlyArray<string> | undefined>>
}

const refused = (why: string) => new ApiError(403, `SignatureDoesNotMatch: ${why}`)

const encode = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)

const timeOf = (text: string): number => {
  const parts = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(text)
  if (parts === null) throw refused("X-Goog-Date is no date")
  const [, year, month, day, hour, minute, second] = parts
  return Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`)
}

/** The library signs the host without a port, as Google's host has none. */
const headerText = (request: SignedRequest, name: string): string => {
  const value = request.headers[name]
  if (value === undefined) throw refused(`the signed header ${name} is missing`)
  const text = (typeof value === "string" ? value : value.join(",")).trim().replace(/\s+/g, " ")
  return name === "host" ? text.replace(/:\d+$/, "") : text
}

const canonicalQuery = (query: URLSearchParams): string =>
  [...query]
    .filter(([name]) => name !== "X-Goog-Signature")
    .map(([name, value]) => [encode(name), encode(value)] as const)
    .sort(([a, v], [b, w]) => (a === b ? Number(v > w) - 0.5 : Number(a > b) - 0.5))
    .map(([name, value]) => `${name}=${value}`)
    .join("&")

/** Throws 403 (400 for a lifetime that Google does not allow) unless the request was signed by the account for now. */
export const verify = (request: SignedRequest, account: Account | undefined, now: number) => {
  const [path = "", search = ""] = request.target.split("?", 2)
  const query = new URLSearchParams(search)
  const field = (name: string): string => {
    const values = query.getAll(`X-Goog-${name}`)
    if (values.length !== 1 || values[0] === undefined) throw refused(`X-Goog-${name} is not there once`)
    return values[0]
  }
  if (account === undefined || field("Algorithm") !== "GOOG4-RSA-SHA256") throw refused("unknown signer or algorithm")
  const date = field("Date")
  const scope = `${date.slice(0, 8)}/auto/storage/goog4_request`
  if (field("Credential") !== `${account.clientEmail}/${scope}`) throw refused("the credential is another one")
  const seconds = field("Expires")
  if (!/^\d+$/.test(seconds) || Number(seconds) < 1 || Number(seconds) > 604_800) {
    throw new ApiError(400, `AuthenticationQueryParametersError: X-Goog-Expires is ${seconds}`)
  }
  const age = now - timeOf(date)
  if (age > Number(seconds) * 1_000) throw new ApiError(403, "ExpiredToken: The provided token has expired.")
  if (age < -15 * 60_000) throw refused("signed for later")
  const names = field("SignedHeaders").split(";")
  if (!names.includes("host")) throw refused("the host is not signed")
  const isSorted = names.every((name, i) => name === name.toLowerCase() && (i === 0 || (names[i - 1] ?? "") < name))
  if (!isSorted) throw refused("the signed headers are not in order")
  const canonical = [
    request.method,
    path,
    canonicalQuery(query),
    ...names.map((name) => `${name}:${headerText(request, name)}`),
    "",
    names.join(";"),
    request.headers["x-goog-content-sha256"] ?? "UNSIGNED-PAYLOAD"
  ].join("\n")
  const hash = createHash("sha256").update(canonical).digest("hex")
  const isSound = createVerify("RSA-SHA256")
    .update(["GOOG4-RSA-SHA256", date, scope, hash].join("\n"))
    .verify(account.publicKey, field("Signature"), "hex")
  if (!isSound) throw refused("the request signature we calculated does not match the signature you provided")
}

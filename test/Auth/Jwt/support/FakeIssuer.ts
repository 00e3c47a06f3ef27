/** An issuer of JWTs with real keys, and a real HTTP server that publishes them. */
import { generateKeyPairSync, type KeyObject, randomUUID, sign } from "node:crypto"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"

export const issuer = "https://id.example.org/project"
export const audience = "project"

export interface SigningKey {
  readonly kid: string
  readonly alg: "RS256" | "ES256"
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
}

export const rsaKey = (kid: string = randomUUID(), bits = 2048): SigningKey => ({
  kid,
  alg: "RS256",
  ...generateKeyPairSync("rsa", { modulusLength: bits })
})

export const ecKey = (kid: string = randomUUID()): SigningKey => ({
  kid,
  alg: "ES256",
  ...generateKeyPairSync("ec", { namedCurve: "P-256" })
})

export const jwkOf = ({ alg, kid, publicKey }: SigningKey) => ({
  ...publicKey.export({ format: "jwk" }),
  kid,
  alg,
  use: "sig"
})

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url")

/** Signs without any library that the server uses. */
export const encodeJwt = (header: object, payload: unknown, signed: (input: string) => Buffer | string): string => {
  const input = `${encode(header)}.${encode(payload)}`
  return `${input}.${Buffer.from(signed(input)).toString("base64url")}`
}

export const signatureOf =
  ({ alg, privateKey }: SigningKey) =>
  (input: string): Buffer =>
    sign("sha256", Buffer.from(input), alg === "ES256" ? { key: privateKey, dsaEncoding: "ieee-p1363" } : privateKey)

export const claimsAt = (now: number, claims: object = {}) => ({
  iss: issuer,
  aud: audience,
  sub: "ada",
  iat: now,
  exp: now + 3_600,
  ...claims
})

/** A token that is valid at `now` (Unix seconds), with other claims and other members of the header. */
export const token = (key: SigningKey, claims: object = {}, { now = unixNow(), header = {} } = {}): string =>
  encodeJwt({ alg: key.alg, kid: key.kid, typ: "JWT", ...header }, claimsAt(now, claims), signatureOf(key))

export const unixNow = () => Math.floor(Date.now() / 1000)

/** How the server answers: with the keys, with a status, with a body, or never. */
export type Answer = "keys" | "hang" | number | { readonly body: string | Buffer } | { readonly location: string }

export interface FakeIssuer {
  readonly url: string
  keys: ReadonlyArray<SigningKey>
  answer: Answer
  /** Requests since the start. */
  readonly requests: () => number
  /** Resolves when this many requests have arrived. */
  readonly asked: (count: number) => Promise<void>
  readonly close: () => Promise<void>
}

const listen = (server: Server) =>
  new Promise<number>((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port))
  })

export const fakeIssuer = async (...keys: ReadonlyArray<SigningKey>): Promise<FakeIssuer> => {
  let requests = 0
  const waiting: Array<{ readonly count: number; readonly resolve: () => void }> = []
  const server = createServer((_request, response) => {
    requests++
    for (const { count, resolve } of waiting) if (requests >= count) resolve()
    const { answer } = fake
    if (answer === "hang") return
    if (answer === "keys") {
      response.setHeader("content-type", "application/json")
      response.end(JSON.stringify({ keys: fake.keys.map(jwkOf) }))
    } else if (typeof answer === "number") response.writeHead(answer).end("{}")
    else if ("location" in answer) response.writeHead(302, { location: answer.location }).end()
    else response.end(answer.body)
  })
  const port = await listen(server)
  const fake: FakeIssuer = {
    url: `http://127.0.0.1:${port}/jwks.json`,
    keys,
    answer: "keys",
    requests: () => requests,
    asked: (count) =>
      requests >= count ? Promise.resolve() : new Promise((resolve) => waiting.push({ count, resolve })),
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections()
        server.close(() => resolve())
      })
  }
  return fake
}

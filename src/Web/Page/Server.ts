/** Requests to the server with the key, and messages for their failures. */
import * as Json from "./Json.ts"
import { acceptKey, rejectKey, session } from "./Session.ts"

/** A field of the request's body that the server refuses, and why. */
export interface Mistake {
  readonly field: string
  readonly message: string
}

/** The server returned an error. `message` is for users. */
export class Refused extends Error {
  readonly status: number
  readonly mistakes: ReadonlyArray<Mistake>
  constructor(status: number, message: string, mistakes: ReadonlyArray<Mistake> = []) {
    super(message)
    this.status = status
    this.mistakes = mistakes
  }
}

/** No response, or an incomplete one. */
export class Unreachable extends Error {}

const problem = Json.record({ title: Json.text })
const detailed = Json.record({ detail: Json.text })
/** A path begins with the part of the request. Indexes in it are not used. */
const listed = Json.record({
  errors: Json.list(Json.record({ path: Json.list(Json.lenient(Json.text)), message: Json.text }))
})

const refusalOf = async (response: Response): Promise<Refused> => {
  const body = await response.text().catch(() => "")
  const read = <A>(decoder: Json.Decoder<A>): A | undefined => {
    try {
      return Json.parse(decoder, body)
    } catch {
      return undefined
    }
  }
  const title = read(problem)?.title ?? `The server answered ${response.status}`
  const detail = read(detailed)?.detail
  const mistakes = (read(listed)?.errors ?? []).map(({ message, path: [, field = ""] }) => ({ field, message }))
  return new Refused(response.status, detail === undefined ? `${title}.` : `${title}. ${detail}`, mistakes)
}

export const connectionBroke = new Unreachable(
  "The connection to the server broke. This page reconnects automatically."
)

export const silent = new Unreachable("The server does not answer. Is it running? This page retries automatically.")

/** Longest time for a complete response. */
const patienceMillis = 10_000

/** Resolves a path of the server, which a proxy can serve below a prefix. */
export function urlOf(path: string): URL {
  return new URL(path.slice(1), document.baseURI)
}

/** The path of signed URLs of this server: of audio, or of an object in its disk store. */
const signedPath = /\/(?:v1\/audio\/[\w.-]+|objects\/[^?]+\?expires=\d+&signature=[\w-]+)$/

/** Signed URLs of this server are resolved as its other ones: the page may have another name for it, or a proxy before it. */
export function resolveSigned(signed: string): URL {
  const [path] = signedPath.exec(signed) ?? []
  return path === undefined ? new URL(signed) : urlOf(path)
}

export function isAbort(cause: unknown): boolean {
  return cause instanceof DOMException && cause.name === "AbortError"
}

const instead = (error: Unreachable) => (cause: unknown) => {
  throw isAbort(cause) || cause instanceof Unreachable ? cause : error
}

interface Request {
  readonly signal: AbortSignal
  readonly method?: "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE"
  /** Sent as JSON. */
  readonly json?: unknown
  readonly headers?: Record<string, string>
  readonly allowed?: ReadonlyArray<number>
  /** Also when the page is left. */
  readonly keepalive?: true
}

/** No timeout: `signal` ends the request. Throws `Refused` unless the status is 2xx or in `allowed`. */
export async function send(path: string, request: Request): Promise<Response> {
  const { allowed, headers: more, json, keepalive = false, method, signal } = request
  const { key } = session.value
  const headers = {
    ...more,
    ...(json === undefined ? {} : { "content-type": "application/json" }),
    ...(key === undefined ? {} : { authorization: `Bearer ${key}` })
  }
  const body = json === undefined ? {} : { body: JSON.stringify(json) }
  const init = { method: method ?? "GET", headers, ...body, cache: "no-store", keepalive, signal } as const
  const response = await fetch(urlOf(path), init).catch(instead(silent))
  if (response.ok) acceptKey(key)
  if (response.ok || allowed?.includes(response.status) === true) return response
  if (response.status === 401) rejectKey(key)
  throw await refusalOf(response)
}

/** Reads the whole response. Throws `Unreachable` if it does not arrive in time. */
const askFor = async <A>(
  path: string,
  read: (response: Response) => Promise<A>,
  { signal, ...request }: Partial<Request> = {}
): Promise<A> => {
  const patience = new AbortController()
  const timer = setTimeout(() => patience.abort(silent), patienceMillis)
  const both = signal === undefined ? patience.signal : AbortSignal.any([signal, patience.signal])
  try {
    return await read(await send(path, { ...request, signal: both })).catch(instead(connectionBroke))
  } finally {
    clearTimeout(timer)
  }
}

export async function fetchJson<A>(decoder: Json.Decoder<A>, path: string, signal?: AbortSignal): Promise<A> {
  return Json.parse(decoder, await askFor(path, (response) => response.text(), signal === undefined ? {} : { signal }))
}

/** As `fetchJson`, with the version of what was read. */
export function fetchTagged<A>(
  decoder: Json.Decoder<A>,
  path: string
): Promise<{ readonly value: A; readonly etag: string }> {
  return askFor(path, async (response) => ({
    value: Json.parse(decoder, await response.text()),
    etag: response.headers.get("etag") ?? "*"
  }))
}

/** As `fetchJson`, for a request that changes something. */
export async function changeJson<A>(
  decoder: Json.Decoder<A>,
  method: "POST" | "PUT" | "PATCH" | "DELETE",
  path: string,
  json?: unknown,
  headers: Record<string, string> = {}
): Promise<A> {
  const request = json === undefined ? { method, headers } : { method, json, headers }
  return Json.parse(decoder, await askFor(path, (response) => response.text(), request))
}

/** For requests whose response has no body, or none that matters. */
export async function change(method: "POST" | "DELETE", path: string): Promise<void> {
  await askFor(path, (response) => response.text(), { method })
}

/** More than a WAV header, so that audio is read. */
const probeBytes = 4_096

/** Throws as `send` does unless the URL, which needs no key, returns audio. */
export async function probe(url: URL): Promise<void> {
  const signal = AbortSignal.timeout(patienceMillis)
  const init = { headers: { range: `bytes=0-${probeBytes - 1}` }, cache: "no-store", signal } as const
  const response = await fetch(url, init).catch(instead(silent))
  if (!response.ok) throw await refusalOf(response)
  await response.body?.cancel()
}

/** Returns the part of the range that exists, possibly empty. */
export function fetchBytes(path: string, range: string, signal: AbortSignal): Promise<ArrayBuffer> {
  const read = (response: Response) =>
    response.status === 416 ? Promise.resolve(new ArrayBuffer(0)) : response.arrayBuffer()
  return askFor(path, read, { signal, headers: { range }, allowed: [416] })
}

const changedElsewhere =
  "It was changed elsewhere since you opened it. Cancel and open it again to see that; copy your text first."

export function messageFor(cause: unknown): string {
  if (cause instanceof Refused && cause.status === 412) return changedElsewhere
  return cause instanceof Error ? cause.message : String(cause)
}

/** Requests to the server, with the key, and failures in words. */
import * as Json from "./Json.ts"
import { refuse, session } from "./Session.ts"

/** The server answered that it can't; `message` is for people. */
export class Refused extends Error {
  readonly status: number
  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

/** The server did not answer. */
export class Unreachable extends Error {}

const problem = Json.record({ title: Json.text })
const detailed = Json.record({ detail: Json.text })

const wordsOf = async (response: Response): Promise<string> => {
  const body = await response.text().catch(() => "")
  const read = <A>(reader: Json.Reader<A>): A | undefined => {
    try {
      return Json.parse(reader, body)
    } catch {
      return undefined
    }
  }
  const title = read(problem)?.title ?? `The server answered ${response.status}`
  const detail = read(detailed)?.detail
  return detail === undefined ? `${title}.` : `${title}. ${detail}`
}

/** Of a path of the server, which may be below a path of a proxy. */
export const urlOf = (path: string): URL => new URL(path.slice(1), document.baseURI)

/** Fails with `Refused` unless the answer is 2xx or one of `allowed`. */
export const ask = async (
  path: string,
  options: {
    readonly signal?: AbortSignal
    readonly headers?: Record<string, string>
    readonly allowed?: ReadonlyArray<number>
  } = {}
): Promise<Response> => {
  const { key } = session.value
  const headers = { ...options.headers, ...(key === undefined ? {} : { authorization: `Bearer ${key}` }) }
  const signal = options.signal === undefined ? {} : { signal: options.signal }
  const response = await fetch(urlOf(path), { headers, cache: "no-store", ...signal }).catch((cause: unknown) => {
    if (cause instanceof DOMException && cause.name === "AbortError") throw cause
    throw new Unreachable("The server does not answer. Is it running? This page tries again by itself.")
  })
  if (response.ok || options.allowed?.includes(response.status) === true) return response
  if (response.status === 401) refuse(key)
  throw new Refused(response.status, await wordsOf(response))
}

export const askJson = async <A>(reader: Json.Reader<A>, path: string, signal?: AbortSignal): Promise<A> => {
  const response = await ask(path, signal === undefined ? {} : { signal })
  return Json.parse(reader, await response.text())
}

/** The answer broke off. */
export const brokeOff = new Unreachable("The connection to the server broke. This page connects again by itself.")

export const isAbort = (cause: unknown): boolean => cause instanceof DOMException && cause.name === "AbortError"

export const wordsFor = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))

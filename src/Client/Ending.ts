/** Why a connection ended or was refused, and whether another one can succeed. */
import * as Messages from "./Messages.ts"

export interface Ending {
  readonly reason: string
  /** Another connection would end in the same way. */
  readonly isFinal: boolean
  /** Another connection is due at once. */
  readonly isHandover: boolean
  readonly retryAfterMillis: number
  /** Close code of the socket; undefined if it never opened. */
  readonly closeCode: number | undefined
  readonly httpStatus: number | undefined
}

const transient = {
  isFinal: false,
  isHandover: false,
  retryAfterMillis: 0,
  closeCode: undefined,
  httpStatus: undefined
}

const sentence = (text: string) => (text.endsWith(".") ? text : `${text}.`)

/** RFC 6455: protocol error (1002), not understood (1003, 1007), policy violation (1008), too large (1009). */
const finalCodes = [1002, 1003, 1007, 1008, 1009]

/** Limits of rates and of the server's buffer, which a later connection meets. */
const isRateLimit = (reason: string) =>
  /^(too many messages a second|too many conversations a minute|more was sent than can be buffered)$/.test(reason)
const isInvalidKey = (reason: string) => reason === "the key is no longer valid"

const later = /^Retry-After: (\d{1,9}); (.+)$/

export function ended(reason: string, closeCode?: number): Ending {
  return { ...transient, reason, closeCode }
}

/** `canRenew`: the next connection can have another key. */
export function ofClose(code: number, closeReason: string, canRenew: boolean): Ending {
  const [, seconds, text = closeReason] = later.exec(closeReason) ?? []
  const isTransient =
    !finalCodes.includes(code) || (code === 1008 && (isRateLimit(text) || (canRenew && isInvalidKey(text))))
  const words = text === "" ? `${code}` : `${code}: ${text}`
  return {
    ...transient,
    reason: code === 1006 ? "The connection broke." : `The server closed the connection (${words}).`,
    isFinal: !isTransient,
    isHandover: code === 1001,
    retryAfterMillis: Number(seconds ?? 0) * 1000,
    closeCode: code
  }
}

/** Longest body that is read; a problem document is much shorter. */
const maxBodyBytes = 64 * 1024
const probeMillis = 10_000

const bodyOf = async (response: Response): Promise<string> => {
  const reader = response.body?.getReader()
  const decoder = new TextDecoder()
  let text = ""
  let read = 0
  if (reader === undefined) return text
  while (read < maxBodyBytes) {
    const { done, value } = await reader.read()
    if (done) break
    read += value.length
    text += decoder.decode(value, { stream: true })
  }
  await reader.cancel()
  return text
}

/** Request timeout, too early, upgrade required, too many requests. */
const transientStatuses = [408, 425, 426, 429]

const ofResponse = async (response: Response, canRenew: boolean): Promise<Ending> => {
  const { status } = response
  const { detail, title } = Messages.parseRecord(await bodyOf(response))
  const words = [title, detail].map(Messages.textOf).filter((text) => text !== "")
  const isTransient = status >= 500 || transientStatuses.includes(status) || (canRenew && status === 401)
  const seconds = /^\d{1,9}$/.exec(response.headers.get("retry-after") ?? "")?.[0] ?? 0
  return {
    ...transient,
    // The key is accepted: nothing but the upgrade is missing.
    reason:
      status === 426
        ? "The server refused the connection."
        : sentence(`The server answers ${status}: ${words.length === 0 ? "no reason given" : words.join(". ")}`),
    isFinal: !isTransient,
    retryAfterMillis: Number(seconds) * 1000,
    httpStatus: status
  }
}

const unreachable = (error: unknown): Ending => {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
  const words = cause instanceof Error && cause.message !== "" ? ` (${cause.message})` : ""
  return { ...transient, reason: `The server can't be reached${words}.` }
}

/** A WebSocket hides why its upgrade was refused. The same request without the upgrade has the same answer. */
export async function ofRefusal(url: string, key: string, canRenew: boolean): Promise<Ending> {
  try {
    const headers = { authorization: `Bearer ${key}` }
    const request = { headers, signal: AbortSignal.timeout(probeMillis), cache: "no-store" } as const
    return await ofResponse(await fetch(url.replace(/^ws/, "http"), request), canRenew)
  } catch (error) {
    return unreachable(error)
  }
}

/** The part of WebSocket that the client uses, and how a key is passed to the one at hand. */

interface SocketEvent {
  readonly type: string
  readonly data?: unknown
  readonly code?: number
  readonly reason?: string
}

export interface WebSocketLike {
  binaryType: string
  readonly readyState: number
  readonly bufferedAmount: number
  addEventListener(type: "open" | "message" | "close" | "error", listener: (event: SocketEvent) => void): void
  send(data: Uint8Array<ArrayBuffer>): void
  close(code?: number, reason?: string): void
  /** Ends the connection at once, where that is possible. */
  terminate?(): void
}

/** The platform's constructor, or that of the package `ws`, which takes headers as its third argument. */
export type WebSocketConstructor = new (
  url: string,
  protocols: Array<string>,
  options: { headers: Record<string, string>; perMessageDeflate: boolean }
) => WebSocketLike

export const [isOpen, isClosed] = [1, 3]

/** Selected by the server, which never repeats the key. */
const protocol = "spillway"

const platform = (): unknown => Reflect.get(globalThis, "WebSocket")

/** Node's own WebSocket takes headers in place of subprotocols; browsers take none. */
const isNode = (): boolean => {
  const process: unknown = Reflect.get(globalThis, "process")
  if (typeof process !== "object" || process === null || Reflect.has(globalThis, "document")) return false
  const versions: unknown = Reflect.get(process, "versions")
  return typeof versions === "object" && versions !== null && Reflect.has(versions, "node")
}

/** Sends the key as a header where the constructor allows it, otherwise as a subprotocol. */
export function open(url: string, key: string, given: WebSocketConstructor | undefined): WebSocketLike {
  const constructor: unknown = given ?? platform()
  if (typeof constructor !== "function") {
    throw new TypeError("There is no WebSocket here: pass a constructor, such as the one of the package ws")
  }
  const headers = { authorization: `Bearer ${key}` }
  const isOwn = constructor !== platform()
  if (isOwn) return Reflect.construct(constructor, [url, [protocol], { headers, perMessageDeflate: false }])
  const offer = isNode() ? { protocols: [protocol], headers } : [protocol, `bearer.${key}`]
  return Reflect.construct(constructor, [url, offer])
}

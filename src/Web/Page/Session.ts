/** The key: from the link's fragment, for this tab and as long as it is open. */
import { Store } from "./Store.ts"

const item = "spillway-key"

/** `unknown`: the server has never taken the key. `ended`: it no longer does. */
export type Refusal = "unknown" | "ended"

export interface Session {
  readonly key: string | undefined
  readonly refused: Refusal | undefined
}

/** Only such are sent: in a header, and in the name of a WebSocket's protocol. Others are no keys of any server. */
const isSendable = (key: string): boolean => /^[\w.~+-]{1,8192}$/.test(key)

const sessionOf = (key: string | undefined): Session =>
  key === undefined || isSendable(key) ? { key, refused: undefined } : { key: undefined, refused: "unknown" }

const stored = (): string | undefined => sessionStorage.getItem(item) ?? undefined

/** Takes the key out of the address, so that it is neither seen nor copied with it. */
const fromAddress = (): string | undefined => {
  const key = new URLSearchParams(location.hash.slice(1)).get("key")
  if (key === null || key === "") return undefined
  history.replaceState(null, "", location.pathname + location.search)
  sessionStorage.setItem(item, key)
  return key
}

/** The key that the server has taken; one that this tab has kept was taken before. */
let taken = stored()

export const session = new Store<Session>(sessionOf(fromAddress() ?? stored()))

/** The server has answered with this key. */
export function accept(key: string | undefined): void {
  taken = key
}

export function enter(key: string): void {
  sessionStorage.setItem(item, key)
  session.set(sessionOf(key))
}

/** Forgets the key when the server has refused it, unless another was entered meanwhile. */
export function refuse(key: string | undefined): void {
  if (key === undefined || session.value.key !== key) return
  sessionStorage.removeItem(item)
  session.set({ key: undefined, refused: taken === key ? "ended" : "unknown" })
}

export function leave(): void {
  sessionStorage.removeItem(item)
  session.set({ key: undefined, refused: undefined })
}

window.addEventListener("hashchange", () => {
  const key = fromAddress()
  if (key !== undefined) enter(key)
})

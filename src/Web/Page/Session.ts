/** The access key: taken from the URL's fragment, kept in this tab until it is closed. */
import { Store } from "./Store.ts"

const item = "spillway-key"

/** `unknown`: the server never accepted the key. `ended`: it no longer does. */
export type Refusal = "unknown" | "ended"

export interface Session {
  readonly key: string | undefined
  readonly refused: Refusal | undefined
}

/** Characters allowed both in a header and in a WebSocket subprotocol, which carry the key. */
const isSendable = (key: string): boolean => /^[\w.~+-]{1,8192}$/.test(key)

const sessionOf = (key: string | undefined): Session =>
  key === undefined || isSendable(key) ? { key, refused: undefined } : { key: undefined, refused: "unknown" }

const stored = (): string | undefined => sessionStorage.getItem(item) ?? undefined

/** Removes the key from the URL, so that it is neither shown nor copied with it. */
const fromAddress = (): string | undefined => {
  const key = new URLSearchParams(location.hash.slice(1)).get("key")
  if (key === null || key === "") return undefined
  history.replaceState(null, "", location.pathname + location.search)
  sessionStorage.setItem(item, key)
  return key
}

/** The key that the server accepted last. A stored key was accepted before. */
let acceptedKey = stored()

export const session = new Store<Session>(sessionOf(fromAddress() ?? stored()))

/** Records that the server accepted this key. */
export function acceptKey(key: string | undefined): void {
  acceptedKey = key
}

export function signIn(key: string): void {
  sessionStorage.setItem(item, key)
  session.set(sessionOf(key))
}

/** Forgets a refused key, unless another one has been entered since. */
export function rejectKey(key: string | undefined): void {
  if (key === undefined || session.value.key !== key) return
  sessionStorage.removeItem(item)
  session.set({ key: undefined, refused: acceptedKey === key ? "ended" : "unknown" })
}

export function signOut(): void {
  sessionStorage.removeItem(item)
  session.set({ key: undefined, refused: undefined })
}

window.addEventListener("hashchange", () => {
  const key = fromAddress()
  if (key !== undefined) signIn(key)
})

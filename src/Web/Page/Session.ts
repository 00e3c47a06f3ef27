/** The key: from the link's fragment, for this tab and as long as it is open. */
import { Store } from "./Store.ts"

const item = "spillway-key"

/** `refused`: the server no longer takes the key that was used. */
export interface Session {
  readonly key: string | undefined
  readonly refused: boolean
}

const stored = (): string | undefined => sessionStorage.getItem(item) ?? undefined

/** Takes the key out of the address, so that it is neither seen nor copied with it. */
const fromAddress = (): string | undefined => {
  const key = new URLSearchParams(location.hash.slice(1)).get("key")
  if (key === null || key === "") return undefined
  history.replaceState(null, "", location.pathname + location.search)
  sessionStorage.setItem(item, key)
  return key
}

export const session = new Store<Session>({ key: fromAddress() ?? stored(), refused: false })

export const enter = (key: string): void => {
  sessionStorage.setItem(item, key)
  session.set({ key, refused: false })
}

/** Forgets the key when the server has refused it, unless another was entered meanwhile. */
export const refuse = (key: string | undefined): void => {
  if (key === undefined || session.value.key !== key) return
  sessionStorage.removeItem(item)
  session.set({ key: undefined, refused: true })
}

export const leave = (): void => {
  sessionStorage.removeItem(item)
  session.set({ key: undefined, refused: false })
}

window.addEventListener("hashchange", () => {
  const key = fromAddress()
  if (key !== undefined) enter(key)
})

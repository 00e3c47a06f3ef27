/** The page's recorder, as tests use it. */
import type { Page } from "playwright-core"
import type { Server } from "../../support/Server.ts"
import { patience } from "./Chromium.ts"

/** A server and a key. */
type Place = Pick<Server, "url" | "key">

export const record = (page: Page) => page.getByRole("button", { name: "Record", exact: true }).click()
export const stop = (page: Page) => page.getByRole("button", { name: "Stop", exact: true }).click()
/** The newest recording. */
export const job = (page: Page) => page.locator(".job").first()
export const name = async (page: Page) => (await job(page).getAttribute("data-conversation")) ?? ""
export const seconds = async (page: Page, position: string) =>
  Number(await job(page).locator(`.${position} [role=progressbar]`).getAttribute("data-seconds"))
export const reach = (page: Page, position: string, least: number) =>
  page.waitForFunction(
    ([position, least]) => {
      const bar = document.querySelector(`.job .${position} [role=progressbar]`)
      return Number(bar?.getAttribute("data-seconds")) >= Number(least)
    },
    [position, least] as const,
    { timeout: patience }
  )
export const stored = (page: Page) => job(page).getByText("Stored", { exact: true }).waitFor({ timeout: patience })

/** Drops files on the page, all at once. */
export const drop = (page: Page, files: Readonly<Record<string, Buffer>>) =>
  page.evaluate(
    (files) => {
      const dataTransfer = new DataTransfer()
      for (const [file, text] of files) {
        const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))
        dataTransfer.items.add(new File([bytes], file))
      }
      document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }))
    },
    Object.entries(files).map(([file, bytes]) => [file, bytes.toString("base64")] as const)
  )

export const api = async ({ key, url }: Place, path: string, init: RequestInit = {}) => {
  const response = await fetch(`${url}${path}`, {
    ...init,
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" }
  })
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`)
  return response
}

/** Creates another key of a user. */
export const keyOf = async (server: Place, uid: string): Promise<{ readonly id: string; readonly key: string }> =>
  JSON.parse(await (await api(server, "/v1/keys", { method: "POST", body: JSON.stringify({ uid }) })).text())

/** All audio of a conversation on the server. */
export const kept = async (server: Place, conversation: string, uid?: string): Promise<Buffer> => {
  const of = uid === undefined ? "" : `uid=${uid}`
  const body: { readonly audio_files: ReadonlyArray<{ readonly id: string }> } = JSON.parse(
    await (await api(server, `/v1/conversations/${conversation}?${of}`)).text()
  )
  const files = body.audio_files.map(async ({ id }) => {
    const audio = await api(server, `/v1/sync/audio/${conversation}/${id}?format=pcm&${of}`)
    return Buffer.from(await audio.arrayBuffer())
  })
  return Buffer.concat(await Promise.all(files))
}

/** The webhooks of the key's user with their health, polled while they are shown, and what is done to them. */
import { pause } from "../Pause.ts"
import { change, changeJson, fetchJson, isAbort, messageFor, Refused } from "../Server.ts"
import { Store } from "../Store.ts"
import * as Model from "./Model.ts"
import { type Fields, requestOf } from "./Wording.ts"

export interface Entry {
  readonly webhook: Model.Webhook
  /** Undefined if it was deleted meanwhile. */
  readonly health: Model.Health | undefined
}

export interface ShownSecret extends Model.Secret {
  readonly webhook: Model.Webhook
  readonly isRotated: boolean
}

export interface Webhooks {
  /** Undefined before the first response. At most 10, and 10 more for the events of all users. */
  readonly entries: ReadonlyArray<Entry> | undefined
  /** All types of events. */
  readonly types: ReadonlyArray<string>
  /** Undefined until the server has said whether the key has the scope `admin`. */
  readonly isAdmin: boolean | undefined
  /** Shown until it is dismissed, or the view is left. */
  readonly secret: ShownSecret | undefined
  /** The webhook whose log is open. */
  readonly log: string | undefined
  /** Of the latest action. */
  readonly done: string
  readonly problem: string
  /** Why the webhooks could not be read. */
  readonly message: string
}

const empty: Webhooks = {
  entries: undefined,
  types: [],
  isAdmin: undefined,
  secret: undefined,
  log: undefined,
  done: "",
  problem: "",
  message: ""
}

export const webhooks = new Store<Webhooks>(empty)

const path = "/v1/webhooks"

const pollMillis = 3_000

/** Of the latest refresh: responses to those before it are ignored. */
let latest = 0

/** Webhooks that receive the events of all users. */
const listGlobal = async (signal?: AbortSignal): Promise<ReadonlyArray<Model.Webhook>> => {
  if (webhooks.value.isAdmin === false) return []
  try {
    const { webhooks: found } = await fetchJson(Model.webhooks, `${path}?global=true`, signal)
    webhooks.update({ isAdmin: true })
    return found
  } catch (cause) {
    if (!(cause instanceof Refused && cause.status === 403)) throw cause
    webhooks.update({ isAdmin: false })
    return []
  }
}

const healthOf = async ({ id }: Model.Webhook, signal?: AbortSignal): Promise<Model.Health | undefined> => {
  try {
    return await fetchJson(Model.health, `${Model.pathOf(id)}/health`, signal)
  } catch (cause) {
    if (cause instanceof Refused && cause.status === 404) return undefined
    throw cause
  }
}

const refresh = async (signal?: AbortSignal): Promise<void> => {
  const turn = ++latest
  try {
    const [{ types, webhooks: own }, global] = await Promise.all([
      fetchJson(Model.webhooks, path, signal),
      listGlobal(signal)
    ])
    const entries = await Promise.all(
      [...own, ...global].map(async (webhook) => ({ webhook, health: await healthOf(webhook, signal) }))
    )
    if (turn === latest) webhooks.update({ entries, types, message: "" })
  } catch (cause) {
    if (!isAbort(cause) && turn === latest) webhooks.update({ message: messageFor(cause) })
  }
}

/** `done` is announced. False if the action failed. */
const act = async (done: string, action: () => Promise<unknown>): Promise<boolean> => {
  webhooks.update({ done: "", problem: "" })
  try {
    await action()
    webhooks.update({ done })
    return true
  } catch (cause) {
    webhooks.update({ problem: messageFor(cause) })
    return false
  } finally {
    await refresh()
  }
}

/** Throws what the form shows. */
export async function create(fields: Fields, isGlobal: boolean): Promise<void> {
  const json = { ...requestOf(fields), ...(isGlobal ? { global: true } : {}) }
  const { webhook, ...secret } = await changeJson(Model.created, "POST", path, json)
  webhooks.update({ secret: { ...secret, webhook, isRotated: false }, done: "The webhook was created.", problem: "" })
  await refresh()
}

/** Throws what the form shows. */
export async function edit({ id }: Model.Webhook, fields: Fields): Promise<void> {
  await changeJson(Model.webhook, "PATCH", Model.pathOf(id), requestOf(fields))
  webhooks.update({ done: "The webhook was changed.", problem: "" })
  await refresh()
}

export function setEnabled({ id }: Model.Webhook, enabled: boolean): Promise<boolean> {
  return act(enabled ? "The webhook is enabled." : "The webhook is off.", () =>
    changeJson(Model.webhook, "PATCH", Model.pathOf(id), { enabled })
  )
}

export function rotate(webhook: Model.Webhook): Promise<boolean> {
  return act("The secret was replaced.", async () => {
    const secret = await changeJson(Model.secret, "POST", `${Model.pathOf(webhook.id)}/secret`, {})
    webhooks.update({ secret: { ...secret, webhook, isRotated: true } })
  })
}

export function dismissSecret(): void {
  webhooks.update({ secret: undefined })
}

export function remove({ id }: Model.Webhook): Promise<boolean> {
  return act("The webhook was deleted.", async () => {
    await change("DELETE", Model.pathOf(id))
    const { log, secret } = webhooks.value
    if (log === id) showLog(undefined)
    if (secret?.webhook.id === id) dismissSecret()
  })
}

/** Opens the log, which has the outcome. */
export function sendTest({ id }: Model.Webhook): Promise<boolean> {
  return act("A test is being sent. The log has its outcome.", async () => {
    await changeJson(Model.sentTest, "POST", `${Model.pathOf(id)}/test`)
    showLog(id)
  })
}

export function showLog(id: string | undefined): void {
  webhooks.update({ log: id })
}

/** Polls until `stop`; then forgets all, secrets included. */
export async function follow(stop: AbortSignal): Promise<void> {
  const forget = () => {
    latest++
    webhooks.set(empty)
  }
  forget()
  stop.addEventListener("abort", forget, { once: true })
  while (!stop.aborted) {
    if (!document.hidden) await refresh(stop)
    await pause(pollMillis, stop)
  }
}

/** Kills the server with SIGKILL at random instants while it delivers events, and compares what has arrived. */
import * as Fs from "node:fs"
import * as Http from "node:http"
import * as Path from "node:path"
import type { AddressInfo } from "node:net"
import type { Login } from "../../../src/Db/DbServer.ts"
import { random } from "../../support/Crash.ts"
import { urlOf } from "../../support/DatabaseUrl.ts"
import { dataDirectory, type Server, startServer } from "../../support/Server.ts"

const adminKey = `spw_${"k".repeat(43)}`
const endpoints = 10

/** Requests for events at once. */
const producers = 4

/** After the last kill, for what its node had taken, with the time for a lease. */
const patience = 60_000

const pause = (millis: number) => new Promise((resolve) => setTimeout(resolve, millis))

export interface Report {
  readonly events: number
  readonly kills: number
  /** Requests for an event without a response. */
  readonly unanswered: number
  /** Answered events that did not arrive. */
  readonly lost: ReadonlyArray<string>
  /** Ids that arrived with different bodies. */
  readonly changed: ReadonlyArray<string>
  readonly repeated: number
  /** From the last kill to the last event. */
  readonly seconds: number
}

export const complaints = ({ changed, events, lost, repeated }: Report): ReadonlyArray<string> => [
  ...lost.map((id) => `lost: ${id}`),
  ...changed.map((id) => `changed: ${id}`),
  ...(repeated <= events ? [] : [`${repeated} of ${events} events were repeated`])
]

/** Answers after up to 20 ms, so that nodes are killed between a request and its outcome, too. */
const receiver = async (next: () => number) => {
  const bodies = new Map<string, string>()
  const changed = new Set<string>()
  let repeated = 0
  const server = Http.createServer((request, response) => {
    let body = ""
    request.setEncoding("utf8").on("data", (text: string) => (body += text))
    request.on("end", () => {
      const id = String(request.headers["webhook-id"])
      const known = bodies.get(id)
      if (known !== undefined) repeated++
      if (known !== undefined && known !== body) changed.add(id)
      bodies.set(id, body)
      setTimeout(() => response.writeHead(204).end(), next() * 20)
    })
  })
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve))
  const { port } = server.address() as AddressInfo
  return { port, bodies, changed, repeated: () => repeated, server }
}

export const deliverWithKills = async (
  login: Login,
  { events, kills, seed }: { readonly events: number; readonly kills: number; readonly seed: number }
): Promise<Report> => {
  const next = random(seed)
  const received = await receiver(next)
  const directory = dataDirectory()
  const start = () =>
    startServer(directory, {
      DATABASE_URL: urlOf(login),
      SPILLWAY_ADMIN_KEY: adminKey,
      SPILLWAY_WEBHOOK_ALLOW_HTTP: "yes",
      SPILLWAY_WEBHOOK_ALLOW_ADDRESSES: "127.0.0.1/32"
    })
  let server: Server | undefined = await start()
  /** The body of a response; undefined without one. */
  const post = async (path: string, body: object) => {
    try {
      const response = await fetch(`${server?.url}${path}`, {
        method: "POST",
        headers: { authorization: `Bearer ${adminKey}`, "content-type": "application/json" },
        body: JSON.stringify(body)
      })
      return response.ok ? JSON.parse(await response.text()) : undefined
    } catch {
      return undefined
    }
  }
  const answered: Array<string> = []
  let unanswered = 0
  const produce = async (ids: ReadonlyArray<string>) => {
    while (answered.length < events) {
      if (server === undefined) {
        await pause(20)
        continue
      }
      const made = await post(`/v1/webhooks/${ids[answered.length % ids.length]}/test`, {})
      if (made === undefined) unanswered++
      else answered.push(made.event_id)
    }
  }
  let killed = 0
  const kill = async () => {
    for (; killed < kills; killed++) {
      while (answered.length < ((killed + 1) * events) / (kills + 1)) await pause(5)
      await pause(next() * 100)
      const victim = server
      server = undefined
      await victim?.kill()
      server = await start()
    }
  }
  try {
    const made = await Promise.all(
      Array.from({ length: endpoints }, () =>
        post("/v1/webhooks", { url: `http://127.0.0.1:${received.port}/hook`, types: ["webhook.test"] })
      )
    )
    const ids: ReadonlyArray<string> = made.map(({ webhook }) => webhook.id)
    await Promise.all([kill(), ...Array.from({ length: producers }, () => produce(ids))])
    const began = performance.now()
    const missing = () => answered.filter((id) => !received.bodies.has(id))
    while (missing().length > 0 && performance.now() - began < patience) await pause(50)
    return {
      events: answered.length,
      kills: killed,
      unanswered,
      lost: missing(),
      changed: [...received.changed],
      repeated: received.repeated(),
      seconds: Math.round((performance.now() - began) / 1_000)
    }
  } finally {
    await server?.kill()
    received.server.close()
    received.server.closeAllConnections()
    Fs.rmSync(Path.dirname(directory), { recursive: true, force: true })
  }
}

/** The shared browser with its microphone, and a server, for the tests of a file. */
import { randomUUID } from "node:crypto"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { afterAll, beforeAll, beforeEach } from "@effect/vitest"
import { type Browser, type BrowserContextOptions, chromium } from "playwright-core"
import { inject } from "vitest"
import { freePort } from "../../support/FreePort.ts"
import { ask } from "../../support/OnDemand.ts"
import { pageSettings } from "../../support/PageServer.ts"
import { dataDirectory, type Server, startServer } from "../../support/Server.ts"
import { open } from "./Chromium.ts"
import { keyOf } from "./RecordPanel.ts"

/** The server of a page, and the key it is opened with. */
export type Place = Pick<Server, "url" | "key">

const suite = <S extends Place>(start: () => Promise<S>, end: (server: S | undefined) => Promise<void>) => {
  let browser: Browser | undefined
  let server: S | undefined
  beforeAll(async () => {
    const connected = ask(inject("browserBroker")).then((answer) => chromium.connect(JSON.parse(answer).endpoint))
    ;[browser, server] = await Promise.all([connected, start()])
  })
  afterAll(async () => {
    await browser?.close()
    await end(server)
  })
  const started = <A>(value: A | undefined): A => {
    if (value === undefined) throw new Error("there is no server before the tests begin")
    return value
  }
  return {
    get server() {
      return started(server)
    },
    /** At `path`, or with the key of the server. */
    open: (options?: BrowserContextOptions, path = `#key=${started(server).key}`) =>
      open(started(browser), `${started(server).url}/${path}`, options)
  }
}

export type Suite = ReturnType<typeof ownSuite> | ReturnType<typeof sharedSuite>

/** On the server that all files share; `admin` has its admin key, `server` that of the file's own user. */
export const sharedSuite = () => {
  let admin: Place | undefined
  const start = async (): Promise<Place> => {
    const shared: Place = JSON.parse(await ask(inject("pageBroker")))
    admin = shared
    const { key } = await keyOf(shared, `file-${randomUUID()}`)
    return { url: shared.url, key }
  }
  const here = suite(start, async () => {})
  return {
    open: here.open,
    get server() {
      return here.server
    },
    get admin(): Place {
      return admin ?? here.server
    }
  }
}

/** A server that is stopped and started again on its port. */
export interface OwnServer extends Place {
  readonly kill: () => Promise<void>
  readonly stop: () => Promise<number | null>
  /** Does nothing where it runs. */
  readonly startAgain: () => Promise<void>
}

const startOwn = async (dataDir: string, settings: Readonly<Record<string, string>>): Promise<OwnServer> => {
  const env = { ...settings, SPILLWAY_PORT: String(await freePort()) }
  let server = await startServer(dataDir, env)
  let isRunning = true
  const { key, url } = server
  const ending = <A>(end: () => Promise<A>) => {
    isRunning = false
    return end()
  }
  return {
    key,
    url,
    kill: () => ending(server.kill),
    stop: () => ending(server.stop),
    startAgain: async () => {
      if (isRunning) return
      server = await startServer(dataDir, env)
      isRunning = true
    }
  }
}

/** On the file's own server, for tests that stop it or need other bounds. */
export const ownSuite = (settings: Readonly<Record<string, string>> = pageSettings) => {
  const dataDir = dataDirectory()
  const here = Object.assign(
    suite(
      () => startOwn(dataDir, settings),
      async (server) => {
        await server?.kill()
        Fs.rmSync(Path.dirname(dataDir), { recursive: true, force: true, maxRetries: 20 })
      }
    ),
    { dataDir }
  )
  // A failed test can leave it stopped.
  beforeEach(() => here.server.startAgain())
  return here
}

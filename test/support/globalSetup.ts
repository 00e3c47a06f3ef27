/** What a whole test run shares, each when a test first asks for it: PostgreSQL, a cluster to copy, a browser, the page's server. */
import { mkdirSync, readdirSync, rmSync, statSync } from "node:fs"
import { join } from "node:path"
import type { TestProject } from "vitest/node"
import * as Cluster from "./Cluster.ts"
import { share } from "./OnDemand.ts"
import * as RunDirectory from "./RunDirectory.ts"

const prefix = "spillway-test-"

/** What this user's runs that were killed have left. */
const sweep = () => {
  for (const name of readdirSync(RunDirectory.parent)) {
    const pid = new RegExp(`^${prefix}(\\d+)$`).exec(name)?.[1]
    const path = join(RunDirectory.parent, name)
    if (pid === undefined || statSync(path, { throwIfNoEntry: false })?.uid !== process.getuid?.()) continue
    try {
      process.kill(Number(pid), 0)
    } catch {
      rmSync(path, { recursive: true, force: true })
    }
  }
}

export default async (project: TestProject) => {
  sweep()
  const directory = join(RunDirectory.parent, `${prefix}${process.pid}`)
  mkdirSync(directory, { mode: 0o711, recursive: true })
  const path = (name: string) => join(directory, name)
  process.env[RunDirectory.variable] = directory
  process.env[Cluster.variable] = path("cluster")
  const closing = await Promise.all([
    share(path("cluster"), () => Cluster.start(path("cluster-data"))),
    share(path("postgres"), async () => (await import("./PostgresBroker.ts")).start(path("data"))),
    share(path("browser"), async () => (await import("./Browser.ts")).start(directory)),
    share(path("page"), async () => (await import("./PageServer.ts")).start(path("page-data")))
  ])
  project.provide("postgresBroker", path("postgres"))
  project.provide("browserBroker", path("browser"))
  project.provide("pageBroker", path("page"))
  return async () => {
    await Promise.all(closing.map((close) => close()))
    rmSync(directory, { recursive: true, force: true })
  }
}

/** Runs a command of `src/Cli.ts` as a process. */
import { spawn } from "node:child_process"
import * as Path from "node:path"

const root = Path.join(import.meta.dirname, "../../..")

/** The arguments of Node for the command, as in `npm run spillway`. */
export const cli = [Path.join(root, "scripts/ensure.mjs"), "src/Cli.ts"]

export interface Ended {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

/** With the admin key of the server. */
export const run = (
  server: { readonly url: string; readonly key: string },
  ...args: ReadonlyArray<string>
): Promise<Ended> =>
  new Promise((resolve) => {
    const child = spawn(process.execPath, [...cli, ...args], {
      env: { ...process.env, SPILLWAY_URL: server.url, SPILLWAY_KEY: server.key },
      stdio: ["ignore", "pipe", "pipe"]
    })
    const said = { out: "", err: "" }
    child.stdout.setEncoding("latin1").on("data", (text: string) => (said.out += text))
    child.stderr.setEncoding("utf8").on("data", (text: string) => (said.err += text))
    child.once("close", (code) => resolve({ code, ...said }))
  })

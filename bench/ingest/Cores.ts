/** The server has one core; its PostgreSQL, the store and the load have the other. */
import { execFileSync, spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import type { LoadOptions, LoadResult } from "./Load.ts"

export const serverCore = "0"
export const otherCore = "1"

export const pin = (pid: number, core: string): void =>
  void execFileSync("taskset", ["-apc", core, String(pid)], { stdio: "ignore" })

export const descendants = (pid: number): ReadonlyArray<number> =>
  fs
    .readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8")
    .split(" ")
    .flatMap((text) => (text === "" ? [] : [Number(text), ...descendants(Number(text))]))

export const runLoad = (options: LoadOptions): Promise<LoadResult> =>
  new Promise<LoadResult>((resolve, reject) => {
    const script = path.join(import.meta.dirname, "Load.ts")
    const child = spawn("taskset", ["-c", otherCore, process.execPath, script, JSON.stringify(options)], {
      stdio: ["ignore", "pipe", "inherit"]
    })
    let output = ""
    child.stdout.on("data", (data: Buffer) => (output += data.toString()))
    child.once("exit", (code) =>
      code === 0 ? resolve(JSON.parse(output)) : reject(new Error(`the load ended with ${code}`))
    )
  })

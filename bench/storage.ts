/** What a bucket costs through the server's store, next to bare undici and Google's own client, in the same run. */
import { type ChildProcess, fork, spawn } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as Account from "../test/support/gcs/Account.ts"
import { median } from "./Measurement.ts"
import type { Operation } from "./storage/StoragePeer.ts"

const operations: ReadonlyArray<Operation> = ["put", "get", "range"]

const peers = [
  { name: "Spillway's store", process: "ours" },
  { name: "bare undici", process: "undici" },
  { name: "@google-cloud/storage", process: "official" }
] as const

/** Operations in a row, so that clients are warm and a row is longer than a scheduling pause. */
const row: Readonly<Record<Operation, number>> = { put: 15, get: 25, range: 150 }

const startServer = async (): Promise<{ readonly child: ChildProcess; readonly url: string }> => {
  const script = path.join(import.meta.dirname, "../scripts/gcs-server.ts")
  const arguments_ = [script, "--port", "0", "--bucket", "bench"]
  const child = spawn(process.execPath, arguments_, { stdio: ["ignore", "pipe", "inherit"] })
  const url = await new Promise<string>((resolve, reject) => {
    child.once("exit", (code) => reject(new Error(`the protocol server ended with ${code}`)))
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      const found = /(http:\S+),/.exec(text)?.[1]
      if (found !== undefined) resolve(found)
    })
  })
  return { child, url }
}

const message = (child: ChildProcess) =>
  new Promise<unknown>((resolve, reject) => {
    const onExit = (code: number | null) => reject(new Error(`a peer ended with ${code}`))
    child.once("exit", onExit)
    child.once("message", (value) => {
      child.off("exit", onExit)
      resolve(value)
    })
  })

const startPeer = async (name: string, url: string, keyFile: string) => {
  const child = fork(path.join(import.meta.dirname, "storage/StoragePeer.ts"), [name, url, keyFile])
  await message(child)
  return {
    child,
    /** Milliseconds for each of `times` operations. */
    time: async (operation: Operation, times: number) => {
      child.send({ operation, times })
      return Number(await message(child))
    }
  }
}

/** The peers take turns, each equally often first, so that other load affects all alike. */
const measure = async (all: ReadonlyArray<Awaited<ReturnType<typeof startPeer>>>, rounds: number) => {
  const costs = all.map(() => ({ put: new Array<number>(), get: new Array<number>(), range: new Array<number>() }))
  for (let round = -5; round < rounds; round++) {
    for (const operation of operations) {
      for (const i of all.keys()) {
        const at = (i + Math.abs(round)) % all.length
        const took = (await all[at]?.time(operation, row[operation])) ?? Number.NaN
        if (round >= 0) costs[at]?.[operation].push(took)
      }
    }
  }
  return costs
}

export const run = async (args: ReadonlyArray<string>): Promise<void> => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "spillway-bench-"))
  const keyFile = Account.writeKeyFile(directory, Account.make())
  const server = await startServer()
  const children = [server.child]
  try {
    const all = []
    for (const peer of peers) {
      const started = await startPeer(peer.process, server.url, keyFile)
      children.push(started.child)
      all.push(started)
    }
    const [ours, bare, official] = await measure(all, args.includes("--quick") ? 9 : 31)
    if (ours === undefined || bare === undefined || official === undefined) return
    console.log("ms, medians; every peer and the protocol server are processes of their own")
    console.log(`${"".padEnd(24)}${"1 MiB put".padStart(12)}${"1 MiB get".padStart(12)}${"64 KiB range".padStart(14)}`)
    for (const [i, cost] of [ours, bare, official].entries()) {
      const [put, get, range] = [cost.put, cost.get, cost.range].map((times) => median(times).toFixed(2))
      console.log(`${peers[i]?.name.padEnd(24)}${put?.padStart(12)}${get?.padStart(12)}${range?.padStart(14)}`)
    }
    /** Ratios of adjacent measurements, so that temporary load affects both. */
    const ratio = (other: typeof ours, operation: Operation) =>
      Number(median(ours[operation].map((took, i) => took / (other[operation][i] ?? Number.NaN))).toFixed(2))
    console.log(
      JSON.stringify({
        putVsUndici: ratio(bare, "put"),
        getVsUndici: ratio(bare, "get"),
        rangeVsUndici: ratio(bare, "range"),
        // The least favourable of the three; under 1 is faster than the official client.
        vsOfficial: Math.max(...operations.map((operation) => ratio(official, operation)))
      })
    )
  } finally {
    for (const child of children) child.kill("SIGTERM")
    fs.rmSync(directory, { recursive: true })
  }
}

/** Event loop delay, measured by the liveness check; and a journal whose pages are not cached. */
import { execFile } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { pause, quantile } from "../Measurement.ts"

export interface Waits {
  readonly p50: number
  readonly p99: number
  readonly max: number
}

const probeMillis = 50
const evictMillis = 1_000

/** Polls until it is stopped; returns the latencies in milliseconds. */
export const watchLoop = (url: string): (() => Promise<Waits>) => {
  const waits: Array<number> = []
  const stop = new AbortController()
  const watching = (async () => {
    while (!stop.signal.aborted) {
      const began = performance.now()
      await (await fetch(`${url}/health/live`)).text()
      waits.push(performance.now() - began)
      await pause(probeMillis)
    }
  })()
  return async () => {
    stop.abort()
    await watching
    return { p50: quantile(waits, 0.5), p99: quantile(waits, 0.99), max: quantile(waits, 1) }
  }
}

/** Drops the cached pages of all synced segments repeatedly, as a machine without free memory does. Needs GNU dd. */
export const keepCold = (directory: string): (() => Promise<void>) => {
  const stop = new AbortController()
  const evict = (file: string) =>
    new Promise<void>((resolve) =>
      execFile("dd", [`if=${file}`, "iflag=nocache", "count=0", "status=none"], () => resolve())
    )
  const evicting = (async () => {
    while (!stop.signal.aborted) {
      for (const name of fs.readdirSync(directory)) await evict(path.join(directory, name))
      await pause(evictMillis)
    }
  })()
  return async () => {
    stop.abort()
    await evicting
  }
}

/** Loaded before a program that a test starts: gives constants the values that the test wants. Threads have none. */
import { readFileSync } from "node:fs"
import { isMainThread } from "node:worker_threads"

if (isMainThread) {
  const bundles = new URL("../../.cache/server/", import.meta.url)
  const [current] = readFileSync(new URL("current", bundles), "utf8").split("\n")
  const { Constants } = await import(new URL(`${current}/Settings.js`, bundles).href)
  const texts: Readonly<Record<string, string>> = JSON.parse(process.env["TEST_CONSTANTS"] ?? "{}")
  Reflect.defineProperty(Constants, "defaultValue", { value: () => texts })
}

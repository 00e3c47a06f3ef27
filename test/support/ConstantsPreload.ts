/** Loaded before a program that a test starts: gives constants the values that the test wants. Threads have none. */
import { isMainThread } from "node:worker_threads"

if (isMainThread) {
  const { Constants } = await import("../../src/Settings.ts")
  const texts: Readonly<Record<string, string>> = JSON.parse(process.env["TEST_CONSTANTS"] ?? "{}")
  Reflect.defineProperty(Constants, "defaultValue", { value: () => texts })
}

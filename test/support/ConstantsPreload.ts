/** Loaded before a program that a test starts: gives constants the values that the test wants. */
import { Constants } from "../../src/Settings.ts"

const texts: Readonly<Record<string, string>> = JSON.parse(process.env["TEST_CONSTANTS"] ?? "{}")
Reflect.defineProperty(Constants, "defaultValue", { value: () => texts })

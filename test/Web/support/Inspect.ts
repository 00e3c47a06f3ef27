/** Inspects a page in every theme. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert } from "@effect/vitest"
import axe from "axe-core"
import type { Page } from "playwright-core"

/** Violations that axe-core finds. */
const violations = async (page: Page): Promise<ReadonlyArray<string>> => {
  await page.evaluate(axe.source)
  const found: ReadonlyArray<string> = await page.evaluate(async () => {
    const results = await window.axe.run(document, { resultTypes: ["violations"] })
    return results.violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`)
  })
  return found
}

declare global {
  interface Window {
    axe: typeof axe
  }
}

/** Colors follow the scheme, and the layout the width: two of the four combinations cover both. */
const looks = [
  { name: "desktop-light", viewport: { width: 1280, height: 860 }, colorScheme: "light" },
  { name: "phone-dark", viewport: { width: 390, height: 844 }, colorScheme: "dark" }
] as const

/** For people to inspect; not committed. */
const screenshots = Path.join(import.meta.dirname, "../../../.cache/screenshots")

/** In every theme: no violation, nothing wider than the screen, and a screenshot. */
export const inspect = async (page: Page, state: string) => {
  Fs.mkdirSync(screenshots, { recursive: true })
  for (const { colorScheme, name, viewport } of looks) {
    await page.setViewportSize(viewport)
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" })
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))))
    assert.deepStrictEqual(await violations(page), [], `${state}, ${name}`)
    const width = await page.evaluate(() => document.documentElement.scrollWidth)
    assert.isAtMost(width, viewport.width, `${state}, ${name}`)
    await page.screenshot({ path: Path.join(screenshots, `${state}-${name}.png`) })
  }
}

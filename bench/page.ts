/** The page in a real Chromium: its first paint, and the time from a seek in two hours to its audio. */
import * as fs from "node:fs"
import * as path from "node:path"
import { launch } from "../test/support/Browser.ts"
import { dataDirectory, startServer } from "../test/support/Server.ts"
import { open } from "../test/Web/support/Chromium.ts"
import { median, round } from "./Measurement.ts"
import { longTalk, longTalkSettings, seekTo, send } from "../test/Web/support/LongTalk.ts"

const listed = (values: ReadonlyArray<number>) =>
  values
    .toSorted((a, b) => a - b)
    .map(Math.round)
    .join(", ")

export const run = async (args: ReadonlyArray<string>): Promise<void> => {
  const rounds = args.includes("--quick") ? 5 : 20
  const dataDir = dataDirectory()
  const [browser, server] = await Promise.all([launch(), startServer(dataDir, longTalkSettings)])
  try {
    const url = `${server.url}/#key=${server.key}`
    const paints: Array<number> = []
    for (let round = 0; round < rounds; round++) {
      const { context, page } = await open(browser, url)
      await page.getByRole("heading", { name: "Conversations" }).waitFor()
      const first = () => performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? Infinity
      paints.push(await page.evaluate(first))
      await context.close()
    }
    const pcm = longTalk()
    await send(server, "two-hours", pcm, 1_700_000_000)
    const { page } = await open(browser, url)
    // Steps that never come near a place where audio has been fetched.
    const shares = Array.from({ length: rounds }, (_, round) => 0.02 + ((round * 0.381_966) % 0.96))
    const seeks = await seekTo(page, "two-hours", pcm, shares)
    console.log(`paints after ${listed(paints)} ms; plays ${listed(seeks)} ms after a seek`)
    console.log(
      JSON.stringify({
        bench: "page",
        paintMs: round(median(paints), 0),
        seekMs: round(median(seeks), 0),
        worstSeekMs: round(Math.max(...seeks), 0)
      })
    )
  } finally {
    await browser.close()
    await server.kill()
    fs.rmSync(path.dirname(dataDir), { recursive: true, force: true, maxRetries: 20 })
  }
}

/** The page in a real Chromium: its first paint, and the time from a seek in two hours to its audio. */
import * as fs from "node:fs"
import * as path from "node:path"
import { launch } from "../test/support/Browser.ts"
import { dataDirectory, startServer } from "../test/support/Server.ts"
import { open } from "../test/Web/support/Chromium.ts"
import { longTalk, longTalkSettings, seekTo, send } from "../test/Web/support/LongTalk.ts"

const sorted = (values: ReadonlyArray<number>) => values.toSorted((a, b) => a - b).map(Math.round)
const median = (values: ReadonlyArray<number>) => sorted(values)[Math.floor(values.length / 2)] ?? 0

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
    console.log(`paints after ${sorted(paints).join(", ")} ms; plays ${sorted(seeks).join(", ")} ms after a seek`)
    console.log(
      JSON.stringify({
        bench: "page",
        paintMs: median(paints),
        seekMs: median(seeks),
        worstSeekMs: Math.round(Math.max(...seeks))
      })
    )
  } finally {
    await browser.close()
    await server.kill()
    fs.rmSync(path.dirname(dataDir), { recursive: true, force: true })
  }
}

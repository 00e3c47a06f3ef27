/** A real headless Chromium: finds and starts it, and shares one with the whole test run. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { type Browser, chromium } from "playwright-core"
import { find, places } from "../../scripts/Chromium.ts"
import { noise, wav } from "../Web/support/Sound.ts"
import type { Started } from "./OnDemand.ts"

const executable = (): string => {
  const found = find()
  if (found !== undefined) return found
  throw new Error(
    `The page is tested in a real Chromium, and there is none at ${process.env["CHROMIUM_PATH"] ?? places.join(" or ")}. Install it (Debian: apt-get install chromium; macOS: brew install --cask chromium; nix develop brings one; on Linux x64 npm test fetches one), or name a Chromium or Chrome in CHROMIUM_PATH.`
  )
}

const quiet = [
  "--no-sandbox",
  "--disable-gpu",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync"
]

const options = (microphone?: string) => ({
  executablePath: executable(),
  args:
    microphone === undefined
      ? quiet
      : [
          ...quiet,
          "--use-fake-ui-for-media-stream",
          "--use-fake-device-for-media-stream",
          `--use-file-for-fake-audio-capture=${microphone}`
        ]
})

/** A separate browser without a microphone. */
export const launch = (): Promise<Browser> => chromium.launch(options())

/** The sound that the shared browser's microphone repeats. */
export const microphone = { rate: 44_100, seconds: 8 }
export const microphoneHears = () => noise(microphone.seconds, microphone.rate)

/** For `share`. */
export const start = async (directory: string): Promise<Started> => {
  const file = Path.join(directory, "microphone.wav")
  Fs.writeFileSync(file, wav(microphoneHears(), microphone.rate))
  const server = await chromium.launchServer(options(file))
  return { answer: JSON.stringify({ endpoint: server.wsEndpoint() }), close: () => server.close() }
}

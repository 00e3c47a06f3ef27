/** A real headless Chromium, and what a test asks of a page in it. */
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core"

const places = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]

const executable = (): string => {
  const asked = process.env["CHROMIUM_PATH"]
  const found = asked === undefined ? places.find((place) => Fs.existsSync(place)) : asked
  if (found !== undefined && Fs.existsSync(found)) return found
  throw new Error(
    `The page is tested in a real Chromium, and there is none at ${asked ?? places.join(" or ")}. Install it (Debian, Ubuntu: apt-get install chromium; nix develop brings one), or name it in CHROMIUM_PATH.`
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

/** With `microphone`, a WAV file: what the fake device hears, again and again. Without, there is no device. */
export const launch = (microphone?: string): Promise<Browser> =>
  chromium.launch({
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

/** What the page sent and played, noted in the page itself. */
export interface Noted {
  /** Audio messages: unix second of the first sample, and PCM16. */
  readonly sent: ReadonlyArray<{ readonly start: number; readonly pcm: Buffer }>
  /** Pieces that were handed to the sound card: samples, and milliseconds from the page's start at which they are heard. */
  readonly played: ReadonlyArray<{ readonly samples: ReadonlyArray<number>; readonly heardAt: number }>
}

declare global {
  interface Window {
    noted: { sent: Array<{ start: number; pcm: string }>; played: Array<{ samples: Array<number>; heardAt: number }> }
  }
}

/** Runs in the page, before the page's own script. */
const noteAll = `
window.noted = { sent: [], played: [] }
const send = WebSocket.prototype.send
WebSocket.prototype.send = function (data) {
  const view = new DataView(data.buffer ?? data)
  if (view.getUint32(0, true) === 101) {
    let pcm = ""
    for (const byte of new Uint8Array(view.buffer, 12)) pcm += String.fromCharCode(byte)
    window.noted.sent.push({ start: view.getFloat64(4, true), pcm: btoa(pcm) })
  }
  return send.call(this, data)
}
const start = AudioBufferSourceNode.prototype.start
AudioBufferSourceNode.prototype.start = function (when) {
  const samples = Array.from(this.buffer.getChannelData(0), (value) => Math.round(value * 32768))
  window.noted.played.push({ samples, heardAt: performance.now() + (when - this.context.currentTime) * 1000 })
  return start.call(this, when)
}`

export const noted = async (page: Page): Promise<Noted> => {
  const { played, sent } = await page.evaluate(() => window.noted)
  return { played, sent: sent.map(({ pcm, start }) => ({ start, pcm: Buffer.from(pcm, "base64") })) }
}

export const forget = (page: Page) =>
  page.evaluate(() => {
    window.noted = { sent: [], played: [] }
  })

/** A page that fails the test when its script throws or its policy is broken: `broken` lists it. */
export const open = async (browser: Browser, url: string, options: BrowserContextOptions = {}) => {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, locale: "en-GB", ...options })
  await context.addInitScript(noteAll)
  const page = await context.newPage()
  const broken: Array<string> = []
  page.on("pageerror", (error) => broken.push(error.message))
  page.on("console", (message) => {
    if (/Content Security Policy|TypeError/.test(message.text())) broken.push(message.text())
  })
  page.setDefaultTimeout(40_000)
  await page.goto(url)
  return { page, context, broken }
}

export const temporary = (name: string): string =>
  Path.join(Fs.mkdtempSync(Path.join(Os.tmpdir(), "spillway-web-")), name)

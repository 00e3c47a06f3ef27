/** A page in a real Chromium, as tests use it. */
import type { Browser, BrowserContextOptions, Page } from "playwright-core"

/** The audio that the page sent and played, recorded inside the page. */
export interface Noted {
  /** Audio messages: unix second of the first sample, and PCM16. */
  readonly sent: ReadonlyArray<{ readonly start: number; readonly pcm: Buffer }>
  /** Pieces scheduled for playback: samples, and their time in milliseconds since the page's start. */
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
  if (typeof data === "string") return send.call(this, data)
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

/** The audio that the page has sent, each sample once, in order. */
export const spoken = (sent: Noted["sent"], rate: number): Buffer => {
  const first = Math.min(...sent.map(({ start }) => start))
  const end = Math.max(...sent.map(({ pcm, start }) => Math.round((start - first) * rate) + pcm.length / 2))
  const whole = Buffer.alloc(end * 2)
  for (const { pcm, start } of sent) pcm.copy(whole, Math.round((start - first) * rate) * 2)
  return whole
}

export const forget = (page: Page) =>
  page.evaluate(() => {
    window.noted = { sent: [], played: [] }
  })

/** Timeout for an element; a test that needs longer hangs. */
export const patience = 90_000

/** A page; `broken` lists uncaught errors and violations of its policy. */
export const open = async (browser: Browser, url: string, options: BrowserContextOptions = {}) => {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, locale: "en-GB", ...options })
  await context.addInitScript(noteAll)
  const page = await context.newPage()
  const broken: Array<string> = []
  page.on("pageerror", (error) => broken.push(error.message))
  page.on("console", (message) => {
    if (/Content Security Policy|TypeError/.test(message.text())) broken.push(message.text())
  })
  page.setDefaultTimeout(patience)
  await page.goto(url)
  return { page, context, broken }
}

/** What pages of other origins can do in a real Chromium: `src/Http/Cors.ts`. */
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { assert, it } from "@effect/vitest"
import { afterAll } from "vitest"
import { launch } from "../support/Browser.ts"
import { stream } from "../support/Capturer.ts"
import { fileServer } from "../support/TestServer.ts"

/** A web app that is not served by Spillway. */
const app = createServer((_request, response) => response.setHeader("content-type", "text/html").end("<!doctype html>"))
await new Promise<void>((resolve) => app.listen(0, "127.0.0.1", resolve))
const { port } = app.address() as AddressInfo
afterAll(() => new Promise((resolve) => app.close(resolve)))

const server = fileServer({ SPILLWAY_CORS_ORIGINS: `http://127.0.0.1:${port}`, SPILLWAY_COMMIT_INTERVAL: "50 millis" })

interface Target {
  readonly url: string
  readonly key: string
}

/** Runs in the page. */
const use = async ({ key, url }: Target) => {
  const text = (cause: unknown) => String(cause)
  const headers = { authorization: `Bearer ${key}`, range: "bytes=44-1043", "if-range": '"another"' }
  const played = await fetch(url, { headers }).then(
    async (response) => [response.status, response.headers.get("accept-ranges"), (await response.blob()).size],
    text
  )
  const part = await fetch(url, { headers: { authorization: `Bearer ${key}`, range: "bytes=44-1043" } }).then(
    (response) => [response.status, response.headers.get("content-range"), response.headers.get("etag") !== null],
    text
  )
  const refused = await fetch(url).then(async (response) => [response.status, (await response.json()).type], text)
  const heard = await new Promise((resolve) => {
    const audio = new Audio()
    audio.crossOrigin = "anonymous"
    audio.addEventListener("loadedmetadata", () => resolve(audio.duration))
    audio.addEventListener("error", () => resolve("an error"))
    audio.src = `${url}?access_token=${key}`
  })
  return { played, part, refused, heard }
}

it("are to play audio and read problems from a listed origin, and nothing from another one", async () => {
  await stream(
    { conversation: "c", start: 1_700_000_000, sampleRate: 16_000, pcm: Buffer.alloc(64_000, 1) },
    { server: () => server, speed: 100 }
  )
  const listed = await fetch(`${server.url}/v1/conversations/c`, { headers: { authorization: `Bearer ${server.key}` } })
  const { audio_files: files } = JSON.parse(await listed.text())
  const target = { url: `${server.url}/v1/sync/audio/c/${files[0].id}`, key: server.key }
  const browser = await launch()
  try {
    const results = []
    for (const host of ["127.0.0.1", "localhost"]) {
      const page = await browser.newPage()
      await page.goto(`http://${host}:${port}/`)
      results.push(await page.evaluate(use, target))
    }
    const blocked = "TypeError: Failed to fetch"
    assert.deepStrictEqual(results, [
      {
        played: [200, "bytes", 64_044],
        part: [206, "bytes 44-1043/64044", true],
        refused: [401, "urn:spillway:problem:unauthorized"],
        heard: 2
      },
      { played: blocked, part: blocked, refused: blocked, heard: "an error" }
    ])
  } finally {
    await browser.close()
  }
})

/** Counts the microphone's samples inside the page. */
import type { Suite } from "./Suite.ts"

/** The page with the microphone's track, and the number of samples from the audio thread. */
export const heard = async (here: Suite, key = here.server.key) => {
  const opened = await here.open({}, "none")
  await opened.context.addInitScript(() => {
    const ask = MediaDevices.prototype.getUserMedia
    MediaDevices.prototype.getUserMedia = async function (options) {
      const stream = await ask.call(this, options)
      window.addEventListener("unplug", () =>
        stream.getTracks().forEach((each) => each.dispatchEvent(new Event("ended")))
      )
      return stream
    }
    const start = MessagePort.prototype.start
    MessagePort.prototype.start = function () {
      this.addEventListener("message", ({ data }) => {
        const heard = Number(document.documentElement.dataset["heard"] ?? 0)
        if (data.pcm !== undefined) document.documentElement.dataset["heard"] = String(heard + data.pcm.byteLength / 2)
      })
      start.call(this)
    }
  })
  await opened.page.goto(`${here.server.url}/#key=${key}`)
  const samples = async () => Number(await opened.page.locator("html").getAttribute("data-heard"))
  return { ...opened, samples }
}

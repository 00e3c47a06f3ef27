/** Reads Server-Sent Events with the key, which the browser's `EventSource` can't send. */
import * as Json from "./Json.ts"
import { connectionBroke, isAbort, send } from "./Server.ts"

/** Calls `take` with the latest event of each piece. Returns at the end; aborts after `silenceMillis` without a byte. */
export async function readEvents<A>(
  decoder: Json.Decoder<A>,
  path: string,
  stop: AbortSignal,
  silenceMillis: number,
  take: (event: A) => void
): Promise<void> {
  const own = new AbortController()
  const end = () => own.abort()
  stop.addEventListener("abort", end)
  let timer = setTimeout(end, silenceMillis)
  try {
    const response = await send(path, { signal: own.signal })
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
    let text = ""
    for (;;) {
      const piece = await reader?.read().catch((cause: unknown) => {
        throw isAbort(cause) ? cause : connectionBroke
      })
      if (piece === undefined || piece.done) return
      clearTimeout(timer)
      timer = setTimeout(end, silenceMillis)
      const events = (text + piece.value).split("\n\n")
      text = events.pop() ?? ""
      const data =
        events
          .at(-1)
          ?.split("\n")
          .filter((line) => line.startsWith("data:")) ?? []
      if (data.length > 0) take(Json.parse(decoder, data.map((line) => line.slice(5)).join("\n")))
    }
  } finally {
    clearTimeout(timer)
    stop.removeEventListener("abort", end)
  }
}

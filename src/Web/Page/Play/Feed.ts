/** Feeds the output with a track: fetches ranges of PCM, again while the server is unreachable or busy, and stretches them. */
import * as Model from "../Model.ts"
import { pause } from "../Pause.ts"
import { connectionBroke, fetchBytes, messageFor, Refused, Unreachable } from "../Server.ts"
import type { Output } from "./Output.ts"
import { speed } from "./Speed.ts"
import { Stretch } from "./Stretch.ts"
import { isGrowing, type Track } from "./Track.ts"

const aheadSeconds = 8
/** Lengths of the pieces: the first is short so that sound starts at once, then they double. */
const firstSeconds = 0.25
const longestSeconds = 4
const liveMillis = 250

const retryMillis = 1_000
const maxRetries = 300
/** Retries after an aborted response: unreadable audio aborts every time. */
const maxBroken = 5
const unreadable = new Error("This part of the audio can't be read. Play from another position.")
const waiting = "Waiting for the server …"

const fetchOnce = async (track: Track, from: number, samples: number, signal: AbortSignal) => {
  // Includes the preceding sample, which exists: at the end of a growing file the response is not an error.
  const before = Math.min(1, from)
  const range = `bytes=${2 * (from - before)}-${2 * (from + samples) - 1}`
  const path = `${Model.audioPath(track.conversation, track.file)}?format=pcm`
  const bytes = await fetchBytes(path, range, signal)
  const pcm = new Int16Array(bytes, 0, bytes.byteLength >> 1).subarray(before)
  return Float32Array.from(pcm, (sample) => sample / 32_768)
}

interface Run {
  readonly signal: AbortSignal
  /** Called with a message for each retry, and with none after it. */
  readonly tell: (message: string) => void
  readonly reach: (end: number) => void
}

const fetchPcm = async (track: Track, from: number, samples: number, { signal, tell }: Run) => {
  for (let [retries, broken] = [0, 0]; ; retries++) {
    try {
      const pcm = await fetchOnce(track, from, samples, signal)
      if (retries > 0 && !signal.aborted) tell("")
      return pcm
    } catch (cause) {
      if (cause === connectionBroke && ++broken > maxBroken) throw unreadable
      const isTransient =
        cause instanceof Unreachable || (cause instanceof Refused && [429, 503].includes(cause.status))
      if (!isTransient || retries >= maxRetries) throw cause
      // The banner tells why the server is unreachable.
      if (!signal.aborted) tell(cause instanceof Unreachable ? waiting : messageFor(cause))
      await pause(retryMillis, signal)
      signal.throwIfAborted()
    }
  }
}

/** Plays the track from a position to its end, both in seconds, at the present speed. */
export async function feed(output: Output, track: Track, position: number, run: Run): Promise<number> {
  const { signal } = run
  const opened = output.open(track.sampleRate)
  let rate = speed.value
  let stretch = new Stretch(track.sampleRate, rate)
  let fetched = Math.max(0, Math.floor(position * track.sampleRate))
  let scheduled = fetched
  const add = (samples: Float32Array<ArrayBuffer>) => {
    output.add(samples, scheduled, rate)
    scheduled += samples.length * rate
  }
  for (let seconds = firstSeconds; ;) {
    const pcm = await fetchPcm(track, fetched, Math.round(seconds * rate * track.sampleRate), run)
    await opened
    signal.throwIfAborted()
    if (pcm.length > 0) {
      add(stretch.push(pcm))
      fetched += pcm.length
      run.reach(fetched / track.sampleRate)
      seconds = Math.min(longestSeconds, seconds * 2)
      while (output.ahead > aheadSeconds && !signal.aborted) await pause(liveMillis, signal)
    } else if (!isGrowing(track)) break
    else if (rate > 1) {
      // What is recorded now can't be played faster.
      add(stretch.finish())
      rate = 1
      scheduled = fetched
      stretch = new Stretch(track.sampleRate, rate)
      speed.set(rate)
    } else await pause(liveMillis, signal)
    signal.throwIfAborted()
  }
  add(stretch.finish())
  while (output.ahead > 0 && !signal.aborted) await pause(output.ahead * 1_000, signal)
  return fetched / track.sampleRate
}

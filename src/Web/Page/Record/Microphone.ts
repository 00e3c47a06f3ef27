/** Captures the microphone as PCM16, at the device's own rate where the browser allows it. */

/** `message` tells what to do about it. */
export class NoMicrophone extends Error {}

export interface Piece {
  readonly pcm: ArrayBuffer
  /** Peak level, 0 to 1. */
  readonly peak: number
  /** Unix seconds at the end of the piece, by the system clock. */
  readonly endedAt: number
}

export interface Microphone {
  readonly sampleRate: number
  readonly name: string
  /** Delivers the last piece, then releases the device. */
  stop(): Promise<void>
}

const lowestRate = 8_000
const highestRate = 48_000
const stopMillis = 1_000

const orFile = "Or drop a WAV file on the page to send it."

const message: Readonly<Record<string, string>> = {
  NotAllowedError: `The browser has no permission to use the microphone. Allow it at the left of the address bar, in the site's settings, then press Record again. ${orFile}`,
  NotFoundError: `There is no microphone. Connect one, then press Record again. ${orFile}`,
  NotReadableError: `The microphone can't be read: another program may be using it. Close that one, then press Record again. ${orFile}`
}

const explain = (cause: unknown): NoMicrophone => {
  if (cause instanceof NoMicrophone) return cause
  const name = cause instanceof DOMException ? cause.name : ""
  const unknown = `The microphone can't be used (${cause instanceof Error ? cause.message : String(cause)}). ${orFile}`
  return new NoMicrophone(message[name] ?? unknown)
}

const isPiece = (data: unknown): data is Piece => typeof data === "object" && data !== null && "pcm" in data

const workletUrl = (): string => document.querySelector<HTMLMetaElement>('meta[name="spillway-worklet"]')?.content ?? ""

/** `onEnded` is called when the device is disconnected. Throws `NoMicrophone`. */
export async function open(onPiece: (piece: Piece) => void, onEnded: () => void): Promise<Microphone> {
  if (!window.isSecureContext) {
    throw new NoMicrophone(
      `Browsers allow microphones only over HTTPS or on this machine (http://localhost). ${orFile}`
    )
  }
  const audio = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false }
  const stream = await navigator.mediaDevices.getUserMedia({ audio }).catch((cause: unknown) => {
    throw explain(cause)
  })
  const [track] = stream.getAudioTracks()
  const rate = track?.getSettings().sampleRate
  const close = () => stream.getTracks().forEach((each) => each.stop())
  try {
    const context = contextOf(rate)
    await context.audioWorklet.addModule(workletUrl()).catch(() => {
      throw new NoMicrophone("A part of this page can't be loaded: the server is away, or newer. Reload the page.")
    })
    const node = new AudioWorkletNode(context, "spillway-microphone", {
      channelCount: 1,
      channelCountMode: "explicit",
      outputChannelCount: [1]
    })
    const stopped = new Promise<void>((resolve) => {
      node.port.addEventListener("message", ({ data }: MessageEvent<unknown>) => {
        if (isPiece(data)) onPiece(data)
        else resolve()
      })
    })
    node.port.start()
    track?.addEventListener("ended", onEnded)
    context.createMediaStreamSource(stream).connect(node)
    // A node without a destination is not run; this one outputs silence.
    node.connect(context.destination)
    await context.resume()
    return {
      sampleRate: context.sampleRate,
      name: track?.label ?? "",
      stop: async () => {
        node.port.postMessage("stop", [])
        await Promise.race([stopped, new Promise((resolve) => setTimeout(resolve, stopMillis))])
        close()
        await context.close()
      }
    }
  } catch (cause) {
    close()
    throw explain(cause)
  }
}

/** Uses the device's rate to avoid resampling. Some browsers don't report it, some reject it. */
const contextOf = (rate: number | undefined): AudioContext => {
  const clipped = Math.max(lowestRate, Math.min(highestRate, rate ?? 0))
  const context = rate === undefined ? new AudioContext() : new AudioContext({ sampleRate: clipped })
  return context.sampleRate > highestRate ? new AudioContext({ sampleRate: highestRate }) : context
}

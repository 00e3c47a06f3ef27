/** What a client is made with, and what it reports. */
import type { Acknowledgement, Codec, Notice } from "./Messages.ts"
import type { WebSocketConstructor } from "./WebSocketLike.ts"

/** `closed`: by `close`. `failed`: the client has given up; what is unacknowledged stays in `unacknowledged()`. */
export type State = "connecting" | "connected" | "waiting" | "closed" | "failed"

export interface Status {
  readonly state: State
  /** Why it waits or has failed. A sentence. */
  readonly reason: string
  /** Reconnections in a row without progress. */
  readonly attempt: number
  readonly retryMillis: number
  /** Close code of the last connection; undefined if it never opened. */
  readonly closeCode: number | undefined
  /** Status with which the server refused the last connection; undefined if it did not, or can't be reached. */
  readonly httpStatus: number | undefined
}

/** `refused`: for good. `gave-up`: `tries` or `maxRetryAfterMillis` is exceeded. `deadline`: `close` waited no longer. */
export interface End extends Status {
  readonly cause: "complete" | "deadline" | "refused" | "gave-up"
  readonly unacknowledgedBytes: number
}

/** Bytes of audio, without those of messages that were rejected. */
export interface Totals {
  readonly accepted: number
  readonly acknowledged: number
  readonly unacknowledged: number
  /** Not handed to the current connection. */
  readonly unsent: number
  readonly dropped: number
  readonly rejectedMessages: number
}

export interface ClientOptions {
  /** Of the server, such as `https://audio.example.org`. */
  readonly url: string
  /** An access key or a JWT. A function is called before each connection, so that it can renew the key. */
  readonly key: string | (() => string | Promise<string>)
  readonly conversation: string
  readonly sampleRate?: number
  readonly codec?: Codec
  /** Another user, for a key with the scope `service`. */
  readonly uid?: string
  /** What the app says it is, up to 64 characters of `A-Za-z0-9._-`; the server lists it with its captures. */
  readonly clientKind?: string
  /** Default: that of the platform. Node has one from version 22 on. */
  readonly WebSocket?: WebSocketConstructor
  /** Bound of unacknowledged audio, default 16 MiB: eight minutes of PCM at 16 kHz. */
  readonly bufferBytes?: number
  /** What `send` does with audio that does not fit: `reject` (default) refuses it, `drop-oldest` makes room. */
  readonly whenFull?: "reject" | "drop-oldest"
  /** Bound of `bufferedAmount`, default 1 MiB: above it, audio waits in this client. */
  readonly socketBytes?: number
  /** Default 100. A server closes a socket that sends more than 200. */
  readonly messagesPerSecond?: number
  /** Longest time without an acknowledgement while one is due, and of an opening; default 15 s. */
  readonly patienceMillis?: number
  /** Pause before the first reconnection, doubled for each further one; default 250 ms. */
  readonly backoffMillis?: number
  readonly maxBackoffMillis?: number
  /** Longest pause that the server may ask for, default 10 minutes. */
  readonly maxRetryAfterMillis?: number
  /** Reconnections in a row without progress, default Infinity. */
  readonly tries?: number
  /** Retries whatever the status of a response, because a proxy can answer for a server that restarts. Default false. */
  readonly retryRefusals?: boolean
  /** Called after each change of `status` or `totals`. */
  readonly onChange?: () => void
  readonly onAcknowledgement?: (acknowledgement: Acknowledgement) => void
  readonly onNotice?: (notice: Notice) => void
}

type Optional =
  | "sampleRate"
  | "codec"
  | "bufferBytes"
  | "whenFull"
  | "socketBytes"
  | "messagesPerSecond"
  | "patienceMillis"
  | "backoffMillis"
  | "maxBackoffMillis"
  | "maxRetryAfterMillis"
  | "tries"
  | "retryRefusals"

export type Resolved = ClientOptions & Required<Pick<ClientOptions, Optional>>

const defaults: Required<Pick<ClientOptions, Optional>> = {
  sampleRate: 16_000,
  codec: "pcm16",
  bufferBytes: 16 * 1024 * 1024,
  whenFull: "reject",
  socketBytes: 1024 * 1024,
  messagesPerSecond: 100,
  patienceMillis: 15_000,
  backoffMillis: 250,
  maxBackoffMillis: 10_000,
  maxRetryAfterMillis: 10 * 60_000,
  tries: Infinity,
  retryRefusals: false
}

export function resolve(options: ClientOptions): Resolved {
  return { ...defaults, ...options }
}

/** Why the client can't connect to `url`. */
export function urlProblem(url: string): string | undefined {
  if (/^(https?|wss?):\/\/[^/\s]/i.test(url)) return undefined
  return `${JSON.stringify(url)} is not the URL of a server, such as https://audio.example.org.`
}

export function endpoint({ clientKind, codec, sampleRate, uid, url }: Resolved): string {
  const base = url.replace(/^http/, "ws").replace(/\/+$/, "")
  const query = new URLSearchParams({
    sample_rate: `${sampleRate}`,
    codec,
    audio_timeline: "2",
    ack: "1",
    ...(uid === undefined ? {} : { uid }),
    ...(clientKind === undefined ? {} : { client_kind: clientKind })
  })
  return `${base}/v1/trigger/listen?${query}`
}

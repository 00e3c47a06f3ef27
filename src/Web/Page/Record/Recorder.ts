/** Recordings and files that this page sends. */
import * as Microphone from "./Microphone.ts"
import { capacitySeconds, MicrophoneBuffer } from "./MicrophoneBuffer.ts"
import * as Model from "../Model.ts"
import { pause } from "../Pause.ts"
import { fetchJson } from "../Server.ts"
import { Store } from "../Store.ts"
import { type LinkState, Uplink } from "./Uplink.ts"
import * as WavFile from "./WavFile.ts"
import { duration } from "../Format.ts"

/** State of a job. Positions are seconds of audio. */
export interface Sending {
  readonly kind: "microphone" | "file"
  readonly conversation: string
  readonly title: string
  readonly total: number
  readonly sent: number
  readonly onDisk: number
  readonly inStore: number
  /** Acknowledged audio that the server lost. */
  readonly lost: number
  readonly link: LinkState
  readonly isRecording: boolean
  /** Goes live with a stream key. */
  readonly isBroadcast: boolean
  readonly message: string
}

export interface Job {
  readonly state: Store<Sending>
  /** Microphone level, 0 to 1. */
  readonly level: Store<number>
  /** Ends a recording, or cancels the upload of a file. */
  stop(): void
  /** The unacknowledged audio as a WAV file. */
  save(): Promise<Blob>
}

/** The newest first. */
export const jobs = new Store<ReadonlyArray<Job>>([])

/** Bound of the jobs that are shown; beyond it, the oldest finished ones are removed. */
const maxJobs = 20
const maxFilesAtOnce = 3
const storePollMillis = 1_500
/** Longest wait after the end for the audio to reach the store. */
const storePatienceMillis = 5 * 60_000

const two = (value: number) => String(value).padStart(2, "0")

const stampOf = (date: Date): string =>
  `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}T${two(date.getHours())}.${two(date.getMinutes())}.${two(date.getSeconds())}`

const letter = (byte: number) => (byte % 36).toString(36)

/** A unique conversation id. The random suffix separates names that differ only in characters an id can't hold. */
const idOf = (name: string): string => {
  const plain = name.replaceAll(/[^A-Za-z0-9._-]+/g, "-").replaceAll(/^-+|-+$/g, "")
  const own = Array.from(crypto.getRandomValues(new Uint8Array(4)), letter).join("")
  return `${plain === "" ? "file" : plain.slice(0, 90)}-${stampOf(new Date())}-${own}`
}

const isOver = (link: LinkState) => link === "done" || link === "failed"

const remember = (job: Job): void => {
  const all = [job, ...jobs.value]
  jobs.set(all.filter((each, index) => index < maxJobs || !isOver(each.state.value.link)))
}

export function forget(job: Job): void {
  return jobs.set(jobs.value.filter((each) => each !== job))
}

/** Polls the conversation until all of its audio is in the store. */
const follow = async (state: Store<Sending>): Promise<void> => {
  let endedAt: number | undefined
  while (endedAt === undefined || performance.now() - endedAt < storePatienceMillis) {
    await pause(storePollMillis)
    const { conversation, link, onDisk, total } = state.value
    if (isOver(link)) endedAt ??= performance.now()
    if (onDisk === 0) {
      if (link === "failed") return
      continue
    }
    try {
      const { audio_files } = await fetchJson(Model.waveform, `${Model.pathOf(conversation)}/waveform?points=1`)
      const known = audio_files.reduce((sum, file) => sum + file.duration, 0)
      const waiting = audio_files.reduce((sum, file) => sum + file.duration - file.stored, 0)
      const { lost_seconds: lost } = await fetchJson(Model.conversation, Model.pathOf(conversation))
      state.update({ inStore: Math.max(0, Math.min(state.value.onDisk, known - waiting) - lost), lost })
      if (isOver(link) && waiting === 0 && known >= Math.min(total, onDisk) - 0.01) return
    } catch {
      // The state of the link already shows an unreachable server.
    }
  }
}

/** Copies the state of the link to the job. Returns the function that publishes progress with a note. */
const mirror = (state: Store<Sending>, uplink: Uplink, rate: number): ((note: string) => void) => {
  let note = ""
  const show = () => {
    const { acknowledged, notice, reason, sent, state: link } = uplink.progress.value
    state.update({
      link,
      sent: Math.max(sent, acknowledged) / rate,
      onDisk: acknowledged / rate,
      message: [note, notice, link === "connected" || link === "done" ? "" : reason]
        .filter((message) => message !== "")
        .join(" ")
    })
  }
  uplink.progress.watch(show)
  return (message) => {
    note = message
    show()
  }
}

const header = (rate: number, bytes: number): Uint8Array<ArrayBuffer> => {
  const view = new DataView(new ArrayBuffer(44))
  const tag = (at: number, name: string) =>
    [...name].forEach((letter, index) => view.setUint8(at + index, letter.charCodeAt(0)))
  tag(0, "RIFF....WAVEfmt ")
  view.setUint32(4, 36 + bytes, true)
  view.setUint32(16, 16, true)
  view.setUint16(20, 1, true)
  view.setUint16(22, 1, true)
  view.setUint32(24, rate, true)
  view.setUint32(28, rate * 2, true)
  view.setUint16(32, 2, true)
  view.setUint16(34, 16, true)
  tag(36, "data")
  view.setUint32(40, bytes, true)
  return new Uint8Array(view.buffer)
}

const gaveUp = `Recording has stopped: ${capacitySeconds / 60} minutes wait for the server, the most that this page keeps.`

export function isRecording(): boolean {
  return jobs.value.some(({ state }) => state.value.isRecording)
}

/** Of a stream that goes live with the recording. */
interface Target {
  readonly slug: string
  readonly streamKey: string
  /** The user has stopped it, and the server has all of its audio. */
  readonly onStopped: () => void
}

/** Records until it is stopped or permanently rejected. Throws `NoMicrophone`. */
export async function record(target?: Target): Promise<Job> {
  const level = new Store(0)
  const early: Array<Microphone.Piece> = []
  let take: (piece: Microphone.Piece) => void = (piece) => early.push(piece)
  let lost = () => {}
  const microphone = await Microphone.open(
    (piece) => take(piece),
    () => lost()
  )
  const rate = microphone.sampleRate
  const buffer = new MicrophoneBuffer(rate)
  const conversation = idOf(target?.slug ?? "recording")
  const uplink = new Uplink(conversation, buffer, target?.streamKey)
  const state = new Store<Sending>({
    kind: "microphone",
    conversation,
    title: microphone.name,
    total: 0,
    sent: 0,
    onDisk: 0,
    inStore: 0,
    lost: 0,
    link: "connecting",
    isRecording: true,
    isBroadcast: target !== undefined,
    message: ""
  })
  const note = mirror(state, uplink, rate)
  let stopping = false
  const stop = async (message = "") => {
    if (stopping) return
    stopping = true
    if (message !== "") note(message)
    await microphone.stop()
    buffer.ended = true
    level.set(0)
    state.update({ isRecording: false })
    uplink.wake()
  }
  let isFull = false
  take = ({ endedAt, pcm, peak }) => {
    if (buffer.ended || isFull) return
    level.set(peak)
    isFull = !buffer.push(new Uint8Array(pcm), endedAt)
    if (isFull) void stop(gaveUp)
    state.update({ total: buffer.end / rate })
    uplink.wake()
  }
  early.splice(0).forEach(take)
  lost = () => void stop("The microphone was disconnected, and the recording has ended.")
  let isUsersStop = false
  const send = async () => {
    await uplink.run().finally(() => stop("Recording has stopped."))
    if (isUsersStop && uplink.progress.value.state === "done") target?.onStopped()
  }
  void send()
  void follow(state)
  const job: Job = {
    state,
    level,
    stop: () => {
      isUsersStop ||= !stopping
      void stop()
    },
    save: async () => {
      const from = uplink.progress.value.acknowledged
      const pcm = await buffer.read(from, buffer.end)
      return new Blob([header(rate, pcm.length), new Uint8Array(pcm)], { type: "audio/wav" })
    }
  }
  remember(job)
  return job
}

let running = 0
const queue: Array<() => void> = []

/** Queues a WAV file for sending. Throws `NotSendable`. */
export async function sendFile(file: File): Promise<Job> {
  const source = await WavFile.open(file, Date.now() / 1000)
  const rate = source.sampleRate
  const conversation = idOf(file.name.replace(/\.[^.]*$/, ""))
  const uplink = new Uplink(conversation, source)
  const state = new Store<Sending>({
    kind: "file",
    conversation,
    title: file.name,
    total: source.end / rate,
    sent: 0,
    onDisk: 0,
    inStore: 0,
    lost: 0,
    link: "connecting",
    isRecording: false,
    isBroadcast: false,
    message: ""
  })
  const note = mirror(state, uplink, rate)
  const about = [
    source.missing < 0.001 ? "" : `The file is truncated: its last ${duration(source.missing)} are missing.`,
    source.isUnfinished ? "The file's header was never finished: everything after it is sent." : "",
    source.channels > 1 ? `Its ${source.channels} channels are mixed to one.` : ""
  ]
    .filter((text) => text !== "")
    .join(" ")
  const start = () => {
    running++
    note(about)
    void uplink.run().finally(() => {
      running--
      queue.shift()?.()
    })
    void follow(state)
  }
  const job: Job = {
    state,
    level: new Store(0),
    stop: () => {
      note(about)
      uplink.cancel()
    },
    save: () => Promise.resolve(file)
  }
  remember(job)
  if (running < maxFilesAtOnce) start()
  else {
    note("Waiting for the files before it.")
    queue.push(start)
  }
  return job
}

/** Closing the page now would lose audio. */
const isAtRisk = ({ kind, link, onDisk, total }: Sending): boolean =>
  !isOver(link) || (kind === "microphone" && onDisk < total - 0.001)

window.addEventListener("beforeunload", (event) => {
  if (jobs.value.some(({ state }) => isAtRisk(state.value))) event.preventDefault()
})

/** What is being sent from this page: the microphone, and files. */
import * as Microphone from "./Microphone.ts"
import { keptSeconds, MicrophoneBuffer } from "./MicrophoneBuffer.ts"
import * as Model from "../Model.ts"
import { pause } from "../Pause.ts"
import { askJson } from "../Server.ts"
import { Store } from "../Store.ts"
import { type LinkState, Uplink } from "./Uplink.ts"
import * as WavFile from "./WavFile.ts"
import { duration } from "../Words.ts"

/** Positions are seconds of audio. */
export interface Sending {
  readonly kind: "microphone" | "file"
  readonly conversation: string
  readonly title: string
  readonly total: number
  readonly sent: number
  readonly onDisk: number
  readonly inStore: number
  /** What the server took and then gave up. */
  readonly lost: number
  readonly link: LinkState
  /** The microphone runs. */
  readonly isRecording: boolean
  /** What people should know. */
  readonly words: string
}

export interface Job {
  readonly state: Store<Sending>
  /** Of the microphone, 0 to 1. */
  readonly level: Store<number>
  /** Ends a recording, or gives up a file. */
  stop(): void
  /** What is not on the server's disk, as a WAV file. */
  save(): Promise<Blob>
}

/** The newest first. */
export const jobs = new Store<ReadonlyArray<Job>>([])

/** Ended ones are forgotten beyond this. */
const maxJobs = 20
const maxFilesAtOnce = 3
const storePollMillis = 1_500
/** How long after the end it is looked for in the store. */
const storePatienceMillis = 5 * 60_000

const two = (value: number) => String(value).padStart(2, "0")

const stampOf = (date: Date): string =>
  `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}T${two(date.getHours())}.${two(date.getMinutes())}.${two(date.getSeconds())}`

const letter = (byte: number) => (byte % 36).toString(36)

/** Only what an id may hold, and nobody else's: names are alike without their other letters, and seconds are shared. */
const idOf = (name: string): string => {
  const plain = name.replaceAll(/[^A-Za-z0-9._-]+/g, "-").replaceAll(/^-+|-+$/g, "")
  const own = Array.from(crypto.getRandomValues(new Uint8Array(4)), letter).join("")
  return `${plain === "" ? "file" : plain.slice(0, 90)}-${stampOf(new Date())}-${own}`
}

const isOver = (link: LinkState) => link === "done" || link === "failed"

const remember = (job: Job): void => {
  const kept = [job, ...jobs.value]
  jobs.set(kept.filter((each, index) => index < maxJobs || !isOver(each.state.value.link)))
}

export function forget(job: Job): void {
  return jobs.set(jobs.value.filter((each) => each !== job))
}

/** Follows the conversation on its way into the store, until all of it is there. */
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
      const { audio_files } = await askJson(Model.waveform, `${Model.pathOf(conversation)}/waveform?points=1`)
      const known = audio_files.reduce((sum, file) => sum + file.duration, 0)
      const waiting = audio_files.reduce((sum, file) => sum + file.duration - file.stored, 0)
      const { lost_seconds: lost } = await askJson(Model.conversation, Model.pathOf(conversation))
      state.update({ inStore: Math.max(0, Math.min(state.value.onDisk, known - waiting) - lost), lost })
      if (isOver(link) && waiting === 0 && known >= Math.min(total, onDisk) - 0.01) return
    } catch {
      // The link's own state tells that the server does not answer.
    }
  }
}

/** Answers how to say what became of the source; how the link is follows by itself. */
const mirror = (state: Store<Sending>, uplink: Uplink, rate: number): ((note: string) => void) => {
  let note = ""
  const show = () => {
    const { acknowledged, reason, sent, state: link } = uplink.progress.value
    state.update({
      link,
      sent: Math.max(sent, acknowledged) / rate,
      onDisk: acknowledged / rate,
      words: [note, link === "connected" || link === "done" ? "" : reason].filter((words) => words !== "").join(" ")
    })
  }
  uplink.progress.watch(show)
  return (words) => {
    note = words
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

const gaveUp = `Recording has stopped: ${keptSeconds / 60} minutes wait for the server, and no more are kept here.`

export function isRecording(): boolean {
  return jobs.value.some(({ state }) => state.value.isRecording)
}

/** Records until it is stopped, or can't be sent. Throws `NoMicrophone`. */
export async function record(): Promise<Job> {
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
  const conversation = idOf("recording")
  const uplink = new Uplink(conversation, buffer)
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
    words: ""
  })
  const note = mirror(state, uplink, rate)
  let stopping = false
  const stop = async (words = "") => {
    if (stopping) return
    stopping = true
    if (words !== "") note(words)
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
  lost = () => void stop("The microphone was disconnected: the recording has ended there.")
  void uplink.run().finally(() => stop("Recording has stopped."))
  void follow(state)
  const job: Job = {
    state,
    level,
    stop: () => void stop(),
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

/** Sends a WAV file, in its turn. Throws `NotSendable`. */
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
    words: ""
  })
  const note = mirror(state, uplink, rate)
  const about = [
    source.missing < 0.001 ? "" : `The file is cut: its last ${duration(source.missing)} are missing.`,
    source.isUnfinished ? "The file's header was never finished: all that follows it is sent." : ""
  ].join("")
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
    note("It is sent after the files before it.")
    queue.push(start)
  }
  return job
}

/** It would be lost if the page were closed now. */
const isAtRisk = ({ kind, link, onDisk, total }: Sending): boolean =>
  !isOver(link) || (kind === "microphone" && onDisk < total - 0.001)

window.addEventListener("beforeunload", (event) => {
  if (jobs.value.some(({ state }) => isAtRisk(state.value))) event.preventDefault()
})

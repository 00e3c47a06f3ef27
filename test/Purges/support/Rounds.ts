/** Two servers that purge while devices record on both of them, store requests get lost, and a node is killed. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { PgClient } from "@effect/sql-pg"
import { Effect } from "effect"
import { Reactivity } from "effect/reactivity"
import type { Login } from "../../../src/Db/DbServer.ts"
import { audioFrame, readAck, switchTo } from "../../support/Capturer.ts"
import { random } from "../../support/Crash.ts"
import { type CaptureSocket, openCaptureSocket } from "../../support/CaptureSocket.ts"
import { urlOf } from "../../support/DatabaseUrl.ts"
import { GcsServer } from "../../support/gcs/Server.ts"
import { dataDirectory, type Server, startServer } from "../../support/Server.ts"

const bucket = "purges"
const rate = 8_000
const epoch = 1_760_000_000
const frameSeconds = 0.25
const frameMillis = 40
const adminKey = `spw_${"k".repeat(43)}`

const pause = (millis: number) => new Promise((resolve) => setTimeout(resolve, millis))

/**
 * Which node is killed: none, the one where purges are requested, or the one where the audio is, for the whole purge. Or the
 * first one stands still until the other one has taken its purges over and finished them.
 */
const modes = ["none", "purger", "recorder", "stopped"] as const

/** A node that stands still does not answer. */
const patience = 2_000

export interface Report {
  readonly purges: number
  readonly kills: number
  readonly lostRequests: number
  /** Objects and rows of what was purged; of what was not, rows without an object and objects without a row. */
  readonly leftObjects: ReadonlyArray<string>
  readonly leftRows: ReadonlyArray<string>
  readonly rowsWithoutObject: number
  readonly objectsWithoutRow: ReadonlyArray<string>
  /** Conversations with less than what was acknowledged. */
  readonly short: ReadonlyArray<string>
  /** Captures that did not end with 1008. */
  readonly wrongCloses: ReadonlyArray<string>
  /** Most seconds from a request to the end of a capture on any node, and to the end of a purge. */
  readonly closeSeconds: number
  readonly doneSeconds: number
}

export const complaints = (report: Report): ReadonlyArray<string> => [
  ...report.leftObjects.map((key) => `left: ${key}`),
  ...report.leftRows,
  ...report.objectsWithoutRow.map((key) => `no row: ${key}`),
  ...report.short,
  ...report.wrongCloses,
  ...(report.rowsWithoutObject === 0 ? [] : [`${report.rowsWithoutObject} rows without an object`]),
  ...(report.closeSeconds <= 5 ? [] : [`a capture ended after ${report.closeSeconds} s`])
]

/** Deterministic, differs from place to place. */
const audio = (seconds: number, seed: number): Buffer => {
  const bytes = Buffer.alloc(seconds * rate * 2)
  for (let at = 0; at < bytes.length; at += 2) bytes.writeInt16LE(((at + seed * 977) * 7919) % 32_768, at)
  return bytes
}

class Device {
  readonly conversation: string
  /** Seconds. */
  acked = 0
  closedAt = 0
  code: number | undefined
  #stopped = false
  readonly ended: Promise<void>

  private constructor(conversation: string, socket: CaptureSocket) {
    this.conversation = conversation
    socket.socket.on("message", (message: Buffer) => {
      this.acked = Math.max(this.acked, (readAck(message)?.through ?? epoch) - epoch)
    })
    this.ended = socket.closed.then(({ code }) => {
      this.code = code
      this.closedAt = performance.now()
    })
    void this.#send(socket)
  }

  static async start(server: Server, uid: string, conversation: string): Promise<Device> {
    const query = `?sample_rate=${rate}&audio_timeline=2&ack=1&uid=${uid}`
    const socket = await openCaptureSocket(server, { query })
    socket.socket.send(switchTo(conversation))
    return new Device(conversation, socket)
  }

  async #send(socket: CaptureSocket) {
    for (let frame = 0; socket.socket.readyState === socket.socket.OPEN; frame++) {
      if (this.#stopped) return socket.socket.close()
      socket.socket.send(audioFrame(epoch + frame * frameSeconds, audio(frameSeconds, frame)))
      await pause(frameMillis)
    }
  }

  stop() {
    this.#stopped = true
    return this.ended
  }
}

interface Subject {
  readonly uid: string
  /** Undefined: the account. */
  readonly conversation: string | undefined
  readonly gone: ReadonlyArray<Device>
  readonly kept: ReadonlyArray<Device>
  requestedAt: number
  job: string
}

export const purgeRounds = async (
  login: Login,
  { perWave, seed, waves }: { readonly waves: number; readonly perWave: number; readonly seed: number }
): Promise<Report> => {
  const next = random(seed)
  const gcs = await GcsServer.start({ buckets: [bucket], needsToken: false, writesPerSecond: Infinity })
  const env = {
    DATABASE_URL: urlOf(login),
    SPILLWAY_BUCKET: bucket,
    SPILLWAY_GCS_ENDPOINT: gcs.url,
    SPILLWAY_ADMIN_KEY: adminKey,
    SPILLWAY_CAPTURES_PER_USER: "100",
    SPILLWAY_DB_POOL: "10",
    SPILLWAY_CHUNK_DURATION: "1 second",
    SPILLWAY_COMMIT_INTERVAL: "100 millis",
    SWEEP_INTERVAL: "1 second",
    GCS_STALL_TIMEOUT: "1 second"
  }
  const query = <Row extends object>(text: string) =>
    Effect.gen(function* () {
      const sql = yield* PgClient.makeClient(login)
      return yield* sql.unsafe<Row>(text)
    }).pipe(Effect.scoped, Effect.provide(Reactivity.layer), Effect.runPromise)
  const directories = { recorder: dataDirectory(), purger: dataDirectory() }
  const servers: { recorder: Server | undefined; purger: Server | undefined } = {
    recorder: await startServer(directories.recorder, env),
    purger: await startServer(directories.purger, env)
  }
  const nodes = () => [servers.purger, servers.recorder].filter((server) => server !== undefined)
  /** A response of any node that is up. */
  const call = async (
    method: string,
    path: string
  ): Promise<{ readonly status: number; readonly body: { readonly job_id: string; readonly status: string } }> => {
    for (;;) {
      for (const { url } of nodes()) {
        try {
          const response = await fetch(`${url}${path}`, {
            method,
            headers: { authorization: `Bearer ${adminKey}` },
            signal: AbortSignal.timeout(patience)
          })
          const text = await response.text()
          if (response.status < 500 && response.status !== 429)
            return { status: response.status, body: JSON.parse(text) }
        } catch {
          // The node is killed, or stands still.
        }
      }
      await pause(100)
    }
  }

  const subjects: Array<Subject> = []
  const reused: Array<{ readonly uid: string; readonly device: Device }> = []
  const wrongCloses: Array<string> = []
  let [kills, closeSeconds, doneSeconds] = [0, 0, 0]
  try {
    for (let wave = 0; wave < waves; wave++) {
      const mode = modes[wave % modes.length] ?? "none"
      const { purger, recorder } = servers
      if (purger === undefined || recorder === undefined) throw new Error("both nodes run between waves")
      const current = await Promise.all(
        Array.from({ length: perWave }, async (_, n): Promise<Subject> => {
          const uid = `w${wave}u${n}`
          const devices = await Promise.all([
            Device.start(recorder, uid, "a"),
            Device.start(mode === "recorder" ? recorder : purger, uid, "b")
          ])
          const isAccount = n % 3 === 2
          const gone = isAccount ? devices : devices.slice(0, 1)
          const kept = isAccount ? [] : devices.slice(1)
          return { uid, conversation: isAccount ? undefined : "a", gone, kept, requestedAt: 0, job: "" }
        })
      )
      subjects.push(...current)
      await pause(500 + next() * 1_500)
      for (let n = 0; n < perWave; n++)
        gcs.faults.add(
          { operation: "multipart", skip: Math.floor(next() * 20), fault: { kind: next() < 0.5 ? "lose" : "stall" } },
          { operation: "delete", skip: Math.floor(next() * 5), fault: { kind: "lose" } }
        )

      const purging = current.map(async (subject) => {
        await pause(next() * 1_000)
        const path = subject.conversation === undefined ? `users/${subject.uid}` : `conversations/a?uid=${subject.uid}`
        subject.requestedAt = performance.now()
        const { body, status } = await call("DELETE", `/v1/${path}`)
        if (status !== 202) throw new Error(`${path}: ${status} ${JSON.stringify(body)}`)
        subject.job = body.job_id
        for (;;) {
          const { body: job } = await call("GET", `/v1/deletions/${subject.job}`)
          if (job.status === "done") break
          if (performance.now() - subject.requestedAt > 120_000) throw new Error(JSON.stringify(job))
          await pause(100)
        }
        doneSeconds = Math.max(doneSeconds, (performance.now() - subject.requestedAt) / 1_000)
      })
      const killing = async () => {
        if (mode === "none") return
        if (mode === "stopped") {
          await pause(next() * 4_000)
          process.kill(purger.pid, "SIGSTOP")
          await Promise.all(purging)
          return void process.kill(purger.pid, "SIGCONT")
        }
        await pause(mode === "recorder" ? 1_000 + next() * 300 : next() * 7_000)
        const victim = servers[mode]
        servers[mode] = undefined
        await victim?.kill()
        kills++
        // The journal of a recorder comes back after the purges.
        if (mode === "recorder") await Promise.all(purging)
        servers[mode] = await startServer(directories[mode], env)
      }
      await Promise.all([...purging, killing()])
      for (const { gone, requestedAt, uid } of current) {
        await Promise.all(gone.map(({ ended }) => ended))
        for (const { closedAt, code, conversation } of gone) {
          // A killed node says nothing.
          if (code !== 1008 && !(code === 1006 && mode !== "none"))
            wrongCloses.push(`${uid}/${conversation} ended with ${code}`)
          if (code === 1008 && mode !== "stopped")
            closeSeconds = Math.max(closeSeconds, (closedAt - requestedAt) / 1_000)
        }
      }
      // The same audio again under the same id, on the other node.
      const again = current.filter((_, n) => n % 2 === 0)
      const anew = await Promise.all(
        again.map(async ({ uid }) => ({ uid, device: await Device.start(servers.purger ?? purger, uid, "a") }))
      )
      reused.push(...anew)
      await pause(1_500)
      await Promise.all([
        ...anew.map(({ device }) => device.stop()),
        ...current.flatMap(({ kept }) => kept.map((d) => d.stop()))
      ])
      for (const { device, uid } of anew)
        if (device.code !== 1005 && device.code !== 1000) wrongCloses.push(`${uid} anew ended with ${device.code}`)
    }
    gcs.faults.clear()
    for (const server of nodes()) await server.stop()

    const keys = [...gcs.objects.bucket(bucket).keys()]
    const rows = await query<{
      readonly uid: string
      readonly conversation: string
      readonly key: string
      readonly seconds: number
    }>(
      "select uid, conversation_id as conversation, object_key as key, (samples::float8 / sample_rate) as seconds from chunks"
    )
    const others = await query<{ readonly what: string; readonly uid: string; readonly conversation: string }>(
      "select 'conversations' as what, uid, id as conversation from conversations union all select 'audio_files', uid, conversation_id from audio_files union all select 'waveform_hours', uid, conversation_id from waveform_hours"
    )
    const isAnew = (uid: string, conversation: string) =>
      conversation === "a" && reused.some((each) => each.uid === uid)
    const isGone = (uid: string, conversation: string) =>
      subjects.some((each) => each.uid === uid && (each.conversation ?? conversation) === conversation) &&
      !isAnew(uid, conversation)
    const named = new Set(rows.map(({ key }) => key))
    const stored = new Set(keys)
    const secondsOf = (uid: string, conversation: string) =>
      rows
        .filter((row) => row.uid === uid && row.conversation === conversation)
        .reduce((sum, row) => sum + row.seconds, 0)
    const short = [...subjects.flatMap(({ kept, uid }) => kept.map((device) => ({ uid, device }))), ...reused].flatMap(
      ({ device, uid }) => {
        const seconds = secondsOf(uid, device.conversation)
        return seconds > device.acked - 0.001
          ? []
          : [`${uid}/${device.conversation}: ${seconds} s of ${device.acked} s`]
      }
    )
    const isKeyGone = (key: string) => {
      const [, uid = "", conversation = ""] = key.split("/")
      return isGone(uid, conversation)
    }
    return {
      purges: subjects.length,
      kills,
      lostRequests: gcs.faults.used,
      leftObjects: keys.filter(isKeyGone),
      leftRows: [...rows.map((row) => ({ what: "chunks", ...row })), ...others]
        .filter(({ conversation, uid }) => isGone(uid, conversation))
        .map(({ conversation, uid, what }) => `${what} of ${uid}/${conversation}`),
      rowsWithoutObject: rows.filter(({ key }) => !stored.has(key)).length,
      objectsWithoutRow: keys.filter((key) => !named.has(key) && !isKeyGone(key)),
      short,
      wrongCloses,
      closeSeconds,
      doneSeconds
    }
  } finally {
    await Promise.all(nodes().map((server) => server.kill()))
    await gcs.stop()
    for (const directory of Object.values(directories))
      Fs.rmSync(Path.dirname(directory), { recursive: true, force: true, maxRetries: 20 })
  }
}

/** A day of omi's backend at speed, with restarts of the server, and what has become of what it sent. */
import { random } from "../../support/Crash.ts"
import { compareWithPlayed } from "../../support/Crash/Played.ts"
import { freePort } from "../../support/FreePort.ts"
import { startServer } from "../../support/Server.ts"
import { backlogBytes, Omi } from "./Omi.ts"

export interface DayOptions {
  readonly dataDir: string
  readonly users: number
  /** Of each user, at least; more if the restarts take longer. */
  readonly conversations: number
  readonly restarts: number
  readonly seed: number
}

export interface DayReport {
  readonly connections: number
  readonly failedConnections: number
  readonly breakerOpened: number
  /** Codes of sockets that were open. */
  readonly closes: ReadonlyArray<number>
  readonly conversations: number
  readonly sentSamples: number
  readonly segments: number
  readonly largestMessage: number
  readonly wrong: ReadonlyArray<string>
}

/** Of reconnections and of what is sent again. */
const speed = 5
/** Seconds of omi's clock, more than the failures of two restarts are counted together. */
const betweenRestarts = 31

/** Milliseconds, on average. */
const pieceMillis = 50
const pieceBytes = 16_000
const piecesOfConversation = 12

const pause = (millis: number) => new Promise((resolve) => setTimeout(resolve, millis))

/** A stopping server, and the imitation itself. */
const expectedCloses = [1001, 1005]

const unknown = "never-recorded"

export const day = async ({ conversations, dataDir, restarts, seed, users }: DayOptions): Promise<DayReport> => {
  const next = random(seed)
  const env = { SPILLWAY_PORT: String(await freePort()) }
  let server = await startServer(dataDir, env)
  const omi = new Omi({ place: { url: server.url, key: server.key }, users, speed, next })
  try {
    const restarting = { left: restarts }
    const talking = Promise.all(
      omi.users.map(async (user) => {
        user.finish(unknown)
        for (let conversation = 0; restarting.left > 0 || conversation < conversations; conversation++) {
          user.select(`talk-${conversation}`, next() * 3_600)
          for (let piece = 0; piece < piecesOfConversation; piece++) {
            user.say(pieceBytes)
            if (next() < 0.3) user.transcribe()
            await pause(pieceMillis * 2 * next())
          }
          user.finish()
        }
      })
    )
    const wrong: Array<string> = []
    for (let restart = 0; restart < restarts; restart++) {
      while (!omi.users.every(({ isConnected }) => isConnected)) await pause(20)
      await omi.wait(betweenRestarts * (1 + next() / 4))
      const code = await server.stop()
      if (code !== 0) wrong.push(`the server ended with ${code}`)
      if (restart === 0) for (const user of omi.users) user.say(backlogBytes)
      server = await startServer(dataDir, env)
      restarting.left--
    }
    await talking
    while (!omi.users.every(({ isSettled }) => isSettled)) await pause(50)
    await Promise.all(omi.users.map((user) => user.close()))

    const place = { url: server.url, key: server.key }
    const { different, ...playback } = await compareWithPlayed(place, omi.users)
    let segments = 0
    for (const { answers, segments: all, uid } of omi.users) {
      for (const [conversation, answer] of answers) {
        const isRight = conversation === unknown ? answer?.terminal === true : answer?.success === true
        if (!isRight) wrong.push(`${uid} ${conversation}: ${JSON.stringify(answer)}`)
      }
      for (const [conversation, ids] of all) {
        const path = `/v1/conversations/${conversation}/transcript?uid=${uid}&limit=500`
        const response = await fetch(`${place.url}${path}`, { headers: { authorization: `Bearer ${place.key}` } })
        const text = await response.text()
        const missing = ids.filter((id) => !text.includes(`"${id}"`))
        if (missing.length > 0) wrong.push(`${uid} ${conversation} lacks segments ${missing.join(", ")}`)
        segments += ids.length
      }
    }
    if ((await server.stop()) !== 0) wrong.push("the server has not stopped")
    const closes = [...new Set(omi.users.flatMap(({ closes }) => closes))]
    if (closes.some((code) => !expectedCloses.includes(code)))
      wrong.push(`sockets were closed with ${closes.join(", ")}`)
    if (omi.breaker.opened > 0) wrong.push(`the breaker opened ${omi.breaker.opened} times`)
    const largestMessage = Math.max(...omi.users.map(({ largest }) => largest))
    if (restarts > 0 && largestMessage < backlogBytes) wrong.push("no backlog was sent as one message")
    return {
      connections: omi.users.reduce((sum, { connections }) => sum + connections, 0),
      failedConnections: omi.breaker.failures,
      breakerOpened: omi.breaker.opened,
      closes,
      ...playback,
      segments,
      largestMessage,
      wrong: [...wrong, ...different]
    }
  } finally {
    await server.kill()
  }
}

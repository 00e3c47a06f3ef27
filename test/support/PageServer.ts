/** The server that the tests of the page share: each of them is a user of its own. */
import { type Started } from "./OnDemand.ts"
import { startServer } from "./Server.ts"

/** Small bounds in time, so that a test sees several chunks in a few seconds, and revoked keys at once; large ones for what is sent quickly. */
export const pageSettings = {
  SPILLWAY_CHUNK_DURATION: "2 seconds",
  SPILLWAY_COMMIT_INTERVAL: "100 millis",
  SPILLWAY_SWEEP_INTERVAL: "1 second",
  SPILLWAY_KEY_CACHE_TIME: "50 millis",
  SPILLWAY_KEY_CHECK_INTERVAL: "100 millis",
  SPILLWAY_CAPTURES_PER_USER: "100",
  SPILLWAY_FRAMES_PER_SECOND: "100000"
}

/** For `share`. */
export const start = async (dataDir: string): Promise<Started> => {
  const { key, stop, url } = await startServer(dataDir, pageSettings)
  return { answer: JSON.stringify({ key, url }), close: async () => void (await stop()) }
}

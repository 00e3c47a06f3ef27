/** The server that the page's tests share; each test has its own user. */
import { type Started } from "./OnDemand.ts"
import { startServer } from "./Server.ts"

/**
 * Short times, so that a test sees several chunks in a few seconds and revoked keys at once; large bounds for fast
 * uploads.
 */
export const pageSettings = {
  SPILLWAY_CHUNK_DURATION: "2 seconds",
  SPILLWAY_COMMIT_INTERVAL: "100 millis",
  SWEEP_INTERVAL: "1 second",
  KEY_CACHE_TIME: "50 millis",
  KEY_CHECK_INTERVAL: "100 millis",
  SPILLWAY_CAPTURES_PER_USER: "100",
  FRAMES_PER_SECOND: "100000",
  STREAM_GRACE: "5 seconds",
  STREAM_HEARTBEAT: "500 millis",
  STREAM_SWEEP: "500 millis"
}

/** For `share`. */
export const start = async (dataDir: string): Promise<Started> => {
  const { key, stop, url } = await startServer(dataDir, pageSettings)
  return { answer: JSON.stringify({ key, url }), close: async () => void (await stop()) }
}

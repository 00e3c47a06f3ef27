/** Starts `Bucket.ts`, for benches and the soak. */
import { spawn } from "node:child_process"
import * as path from "node:path"

export interface BucketProcess {
  readonly url: string
  readonly become: (state: "work" | "refuse" | "hang") => void
  readonly stop: () => void
}

/** `storedSeconds`: how long it keeps what is uploaded. `core`: the only one that it runs on. */
export const startBucket = async (
  storedSeconds: number,
  { core }: { readonly core?: string } = {}
): Promise<BucketProcess> => {
  const script = [process.execPath, path.join(import.meta.dirname, "Bucket.ts"), String(storedSeconds)]
  const [command = "", ...args] = core === undefined ? script : ["taskset", "-c", core, ...script]
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] })
  const port = await new Promise<number>((resolve, reject) => {
    child.stdout.once("data", (data: Buffer) => resolve(JSON.parse(data.toString()).port))
    child.once("exit", (code) => reject(new Error(`the bucket ended with ${code}`)))
  })
  return {
    url: `http://127.0.0.1:${port}`,
    become: (state) => void child.stdin.write(`${state}\n`),
    stop: () => void child.kill("SIGKILL")
  }
}

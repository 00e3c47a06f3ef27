/**
 * A bucket that can fail, as a process of its own. Standard input takes a line with its state: `work`, `refuse` (503) or
 * `hang`. It checks what is uploaded, and keeps the bytes for the seconds of its argument, 1 by default. Prints its port.
 */
import { createInterface } from "node:readline"
import { GcsServer } from "../../test/support/gcs/Server.ts"

const bucket = "bench"
const server = await GcsServer.start({ buckets: [bucket], needsToken: false, writesPerSecond: Infinity })

const keptMillis = Number(process.argv[2] ?? 1) * 1_000
const nothing = Buffer.alloc(0)
setInterval(() => {
  const objects = server.objects.bucket(bucket)
  const since = Date.now() - keptMillis
  for (const [name, object] of objects)
    if (object.bytes.length > 0 && object.created.getTime() <= since) objects.set(name, { ...object, bytes: nothing })
  server.seen.splice(0)
}, 1_000)

createInterface({ input: process.stdin }).on("line", (state) => {
  server.faults.clear()
  if (state === "refuse") server.faults.add({ times: Infinity, fault: { kind: "status", status: 503 } })
  if (state === "hang") server.faults.add({ times: Infinity, fault: { kind: "stall" } })
})

console.log(JSON.stringify({ port: Number(new URL(server.url).port) }))

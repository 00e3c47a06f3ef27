/**
 * A model of the loop of omi's Python pusher: audio of a capture is in memory until it is 60 s, then in a deque of 20 chunks, of
 * which the oldest is dropped, then in the store. It acknowledges nothing. Prints its port.
 */
import * as fs from "node:fs"
import { createServer } from "node:http"
import * as path from "node:path"
import { WebSocketServer } from "ws"

const [directory = "", chunkSeconds = "60"] = process.argv.slice(2)
const chunkBytes = 16_000 * 2 * Number(chunkSeconds)
const dequeLength = 20
const uploadMillis = 1_000
const audioHead = 12

const http = createServer()
const server = new WebSocketServer({ server: http, perMessageDeflate: false, clientTracking: false })
let opened = 0
server.on("connection", (socket) => {
  const capture = ++opened
  let frames: Array<Buffer> = []
  let [bytes, chunks] = [0, 0]
  const deque: Array<Buffer> = []
  socket.on("message", (message: Buffer) => {
    if (message.readUInt32LE(0) !== 101) return
    const audio = message.subarray(audioHead)
    frames.push(audio)
    bytes += audio.length
    if (bytes < chunkBytes) return
    deque.push(Buffer.concat(frames))
    if (deque.length > dequeLength) deque.shift()
    frames = []
    bytes = 0
  })
  let isUploading = false
  const uploads = setInterval(() => {
    const chunk = isUploading ? undefined : deque.shift()
    if (chunk === undefined) return
    isUploading = true
    fs.writeFile(path.join(directory, `${capture}-${++chunks}.bin`), chunk, () => (isUploading = false))
  }, uploadMillis)
  socket.on("close", () => clearInterval(uploads))
})
http.listen(0, "127.0.0.1", () => {
  const address = http.address()
  console.log(JSON.stringify({ port: typeof address === "object" ? address?.port : undefined }))
})

/** The peer: a `ws` server that only counts bytes. Prints its port. */
import { createServer } from "node:http"
import { WebSocketServer } from "ws"

const http = createServer()
const server = new WebSocketServer({ server: http, perMessageDeflate: false, clientTracking: false })
let bytes = 0
server.on("connection", (socket) => {
  socket.on("message", (data: Buffer) => {
    bytes += data.length
  })
})
http.listen(0, "127.0.0.1", () => {
  const address = http.address()
  console.log(JSON.stringify({ port: typeof address === "object" ? address?.port : undefined }))
})
process.on("SIGTERM", () => {
  console.log(JSON.stringify({ bytes }))
  process.exit(0)
})

/** The receiving process: answers 204, after 50 ms on `/slow` and never on `/hang`, and reports when each numbered event arrived first. */
import { createServer } from "node:http"

const hosts = Number(process.argv[2])
let arrived = []
const flush = () => {
  if (arrived.length > 0) process.send(arrived)
  arrived = []
}
setInterval(flush, 20)

const handle = (request, response) => {
  const at = performance.timeOrigin + performance.now()
  const pieces = []
  request.on("data", (piece) => pieces.push(piece))
  request.on("end", () => {
    if (request.url === "/hang") return
    const found = /"n":(\d+)/.exec(pieces.length === 1 ? pieces[0].toString() : Buffer.concat(pieces).toString())
    if (found !== null) arrived.push([Number(found[1]), at])
    if (request.url === "/slow") setTimeout(() => response.writeHead(204).end(), 50)
    else response.writeHead(204).end()
  })
}

const servers = Array.from({ length: hosts }, () => createServer({ keepAliveTimeout: 300_000 }, handle))
let port = 0
const listen = (index) => {
  if (index === hosts) return process.send({ port })
  servers[index].listen(port, `127.0.0.${index + 1}`, () => {
    port = servers[index].address().port
    listen(index + 1)
  })
}
listen(0)

/** A peer that serves the finished WAV file from disk with `fs.createReadStream` and ranges. Prints its port. */
import * as fs from "node:fs"
import { createServer } from "node:http"

const [file = ""] = process.argv.slice(2)

const server = createServer((request, response) => {
  const { size } = fs.statSync(file)
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? []
  const [start, end] = [Number(first ?? 0), Math.min(Number(last ?? size - 1), size - 1)]
  response.writeHead(first === undefined ? 200 : 206, {
    "content-type": "audio/wav",
    "content-length": end - start + 1,
    ...(first === undefined ? {} : { "content-range": `bytes ${start}-${end}/${size}` })
  })
  const stream = fs.createReadStream(file, { start, end })
  response.once("close", () => stream.destroy())
  stream.pipe(response)
})

server.listen(0, "127.0.0.1", () => {
  const address = server.address()
  console.log(JSON.stringify({ port: typeof address === "object" ? address?.port : undefined }))
})

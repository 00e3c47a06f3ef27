/** Resources shared by all files of a test run: started at the first request on a socket, ended with the run. */
import { connect, createServer } from "node:net"

/** The sockets. */
declare module "vitest" {
  interface ProvidedContext {
    readonly postgresBroker: string
    readonly browserBroker: string
    readonly pageBroker: string
  }
}

export interface Started {
  /** The response to each file: JSON with the resource's address. */
  readonly answer: string
  readonly close: () => Promise<void>
}

/** Listens on `path` and returns the function that ends the resource. A failed start is answered with its message. */
export const share = async (path: string, start: () => Promise<Started>): Promise<() => Promise<void>> => {
  let starting: Promise<Started> | undefined
  const listener = createServer((socket) => {
    socket.on("error", () => undefined)
    starting ??= start()
    starting.then(
      ({ answer }) => socket.end(answer),
      (error) => socket.end(error instanceof Error ? error.message : String(error))
    )
  })
  await new Promise<void>((resolve) => listener.listen(path, resolve))
  return async () => {
    listener.close()
    await starting?.then(
      ({ close }) => close(),
      () => undefined
    )
  }
}

/** Fails with the message of a start that failed. */
export const ask = (path: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = connect(path)
    let answer = ""
    socket.setEncoding("utf8")
    socket.on("data", (text) => (answer += text))
    socket.on("error", reject)
    socket.on("end", () => (answer.startsWith("{") ? resolve(answer) : reject(new Error(answer))))
  })

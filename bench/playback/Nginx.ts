/** nginx as a peer that serves files of a directory, if it is installed. */
import { spawn, spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as net from "node:net"
import * as path from "node:path"
import { pause } from "../Measurement.ts"
import { adopt, type Target } from "./Listening.ts"

export const isInstalled = (program: string): boolean => spawnSync(program, ["-v"]).error === undefined

const freePort = () =>
  new Promise<number>((resolve) => {
    const server = net.createServer().listen(0, "127.0.0.1", () => {
      const address = server.address()
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0))
    })
  })

const configuration = (directory: string, port: number) => `
daemon off;
master_process off;
pid ${directory}/nginx.pid;
error_log ${directory}/error.log;
events {}
http {
  access_log off;
  sendfile on;
  ${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${directory}/${name};`).join("\n  ")}
  server { listen 127.0.0.1:${port}; root ${directory}; }
}
`

/** Serves `file`, which is in a directory that nginx may write to. */
export const startNginx = async (file: string): Promise<Target | undefined> => {
  if (!isInstalled("nginx")) return undefined
  const directory = path.dirname(file)
  const port = await freePort()
  const config = path.join(directory, "nginx.conf")
  fs.writeFileSync(config, configuration(directory, port))
  const child = spawn("nginx", ["-c", config, "-e", path.join(directory, "error.log")], {
    stdio: ["ignore", "ignore", "inherit"]
  })
  adopt(child)
  const url = `http://127.0.0.1:${port}/${path.basename(file)}`
  for (let tries = 0; tries < 100; tries++) {
    const isUp = await fetch(url, { method: "HEAD" }).then(
      ({ ok }) => ok,
      () => false
    )
    if (isUp) return { pid: child.pid ?? 0, url, headers: {} }
    await pause(50)
  }
  throw new Error(`nginx does not serve ${file}: ${fs.readFileSync(path.join(directory, "error.log"), "utf8")}`)
}

/** Fakes of Google's token service and of its machines' metadata server. */
import * as fs from "node:fs"
import * as http from "node:http"
import { join } from "node:path"

/** `hang` never responds. */
export type Behaviour = "answer" | "refuse" | "hang" | "reset"

export class TokenServer {
  behaviour: Behaviour = "answer"
  /** Requests for a token so far. */
  asked = 0
  token: string
  readonly #server: http.Server

  private constructor(token: string) {
    this.token = token
    this.#server = http.createServer((request, response) => this.#handle(request, response))
  }

  static async start(token: string): Promise<TokenServer> {
    const server = new TokenServer(token)
    await new Promise<void>((resolve) => server.#server.listen(0, "127.0.0.1", resolve))
    return server
  }

  get host(): string {
    const address = this.#server.address()
    return `127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #handle(request: http.IncomingMessage, response: http.ServerResponse) {
    const path = request.url ?? ""
    response.setHeader("metadata-flavor", "Google")
    const isMetadata = path.startsWith("/computeMetadata/")
    if (isMetadata && request.headers["metadata-flavor"] !== "Google") return response.writeHead(403).end()
    if (!path.includes("/token")) return response.end("x")
    this.asked++
    if (this.behaviour === "hang") return undefined
    if (this.behaviour === "reset") return request.socket.resetAndDestroy()
    response.setHeader("content-type", "application/json")
    if (this.behaviour === "refuse") {
      const problem = { error: "invalid_grant", error_description: "The audience is another one" }
      return response.writeHead(400).end(JSON.stringify(problem))
    }
    const answer = { access_token: this.token, token_type: "Bearer", expires_in: 3_600 }
    const kind = isMetadata ? {} : { issued_token_type: "urn:ietf:params:oauth:token-type:access_token" }
    return response.end(JSON.stringify({ ...answer, ...kind }))
  }
}

/** Credentials of a workload identity, whose own token is a file beside them. */
export const writeWorkloadIdentity = (directory: string, { host }: TokenServer): string => {
  const path = join(directory, "workload.json")
  const subject = join(directory, "subject-token")
  fs.writeFileSync(subject, "subject", { mode: 0o600 })
  const credentials = {
    type: "external_account",
    audience: "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/provider",
    subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
    token_url: `http://${host}/token`,
    credential_source: { file: subject }
  }
  fs.writeFileSync(path, JSON.stringify(credentials), { mode: 0o600 })
  return path
}

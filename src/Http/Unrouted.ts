/** What the node answers by itself while no routes are attached: during the start, and after the last response of a stop. */
import type { IncomingMessage, ServerResponse } from "node:http"
import { ProblemDetails } from "effect/http"
import { Problem } from "./Problem.ts"
import { Health, stopping } from "../Readiness.ts"

export type Phase = { readonly name: "starting"; readonly steps: Iterable<string> } | { readonly name: "stopping" }

const problems = {
  starting: Problem.unavailable("starting", "The node is starting", "Try again in a second."),
  stopping: Problem.unavailable("stopping", "The node is stopping", "Try another node, or again in a second.")
}

const failing = (phase: Phase) => {
  if (phase.name === "stopping") return [stopping]
  const steps = [...phase.steps]
  return (steps.length === 0 ? ["The node is starting."] : steps).map((reason) => ({ name: "start", reason }))
}

interface Answer {
  readonly status: number
  readonly type: string
  readonly body: unknown
}

const answerTo = ({ method, url }: IncomingMessage, phase: Phase): Answer => {
  const path = method === "GET" || method === "HEAD" ? url?.split("?")[0] : undefined
  if (path === Health.paths.live) return { status: 200, type: "application/json", body: Health.live }
  if (path === Health.paths.ready)
    return {
      status: 503,
      type: "application/json",
      body: Health.readiness({ failing: failing(phase), degraded: [] })
    }
  return { status: 503, type: ProblemDetails.contentType, body: problems[phase.name].body }
}

/**
 * The whole response is sent at once. A connection that is to be closed is closed when the request has been read: unread
 * input would reset it, and the client might lose the response.
 */
export function answer(request: IncomingMessage, response: ServerResponse, phase: Phase): void {
  const { body, status, type } = answerTo(request, phase)
  const json = JSON.stringify(body)
  const isRefusedUpgrade = request.headers.upgrade !== undefined
  response.writeHead(status, {
    "content-type": type,
    "content-length": Buffer.byteLength(json),
    "cache-control": "no-store",
    ...(status === 503 ? { "retry-after": "1" } : {}),
    ...(phase.name === "stopping" || isRefusedUpgrade ? { connection: "close" } : {})
  })
  response.write(json)
  request.once("end", () => response.end())
  request.resume()
}

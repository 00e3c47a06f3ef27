/** An error response of the JSON API. */

const reasons: Readonly<Record<number, string>> = {
  304: "notModified",
  400: "invalid",
  401: "authError",
  403: "forbidden",
  404: "notFound",
  409: "conflict",
  410: "uploadBrokenConnection",
  412: "conditionNotMet",
  416: "requestedRangeNotSatisfiable",
  429: "rateLimitExceeded"
}

export class ApiError extends Error {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  constructor(status: number, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message)
    this.status = status
    this.headers = headers
  }

  get body(): string {
    const reason = reasons[this.status] ?? "backendError"
    const errors = [{ message: this.message, domain: "global", reason }]
    return JSON.stringify({ error: { code: this.status, message: this.message, errors } })
  }
}

export const invalid = (message: string) => new ApiError(400, message)
export const notFound = (what: string) => new ApiError(404, `${what} was not found.`)

/** The HTTP server: problems, range requests, upgrades. */
export * as Expiry from "./Http/Expiry.ts"
export * as Handshake from "./Http/Upgrade/Handshake.ts"
export * as ResponseBody from "./Http/ResponseBody.ts"
export { Problem, strict } from "./Http/Problem.ts"
export { ProblemRules, rule } from "./Http/ProblemRules.ts"
export { Shortcuts } from "./Http/Shortcuts.ts"
export * as RawRoute from "./Http/RawRoute.ts"
export * as RangeRequest from "./Http/RangeRequest.ts"

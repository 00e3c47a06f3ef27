/** The HTTP server: problems, range requests, upgrades. */
export * as Body from "./Http/Body.ts"
export { Problem, strict } from "./Http/Problem.ts"
export { ProblemRules, rule } from "./Http/ProblemRules.ts"
export { Upgrades } from "./Http/Upgrades.ts"
export * as RangeRequest from "./Http/RangeRequest.ts"

/** The HTTP server: problems, range requests, upgrades. */
export { type Mistake, Problem, ProblemBody, strict } from "./Http/Problem.ts"
export { Problems, rule, type Rule } from "./Http/Problems.ts"
export { Upgrades } from "./Http/Upgrades.ts"
export * as RangeRequest from "./Http/RangeRequest.ts"

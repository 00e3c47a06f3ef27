/** The HTTP server: problems, ranges, entity tags, upgrades. */
export { byteRange } from "./Http/ByteRange.ts"
export * as EntityTag from "./Http/EntityTag.ts"
export { type Mistake, Problem, ProblemBody } from "./Http/Problem.ts"
export { Problems, rule, type Rule } from "./Http/Problems.ts"
export { strict } from "./Http/Strict.ts"
export { Upgrades } from "./Http/Upgrades.ts"

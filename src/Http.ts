/** The HTTP face: who asks (`Access`, `Principal`), what a failure is answered (`Problem`), and when a node is ready. */
export { Access, type Places } from "./Http/Access.ts"
export { byteRange } from "./Http/ByteRange.ts"
export * as EntityTag from "./Http/EntityTag.ts"
export { Authorization } from "./Http/Authorization.ts"
export { actingFor, Principal, requireScope, type Scope } from "./Http/Principal.ts"
export { type Mistake, Problem, ProblemBody } from "./Http/Problem.ts"
export { Problems, rule, type Rule } from "./Http/Problems.ts"
export { type Failing, Readiness } from "./Http/Readiness.ts"

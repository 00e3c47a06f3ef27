/** Who sends a request: keys, the principal that a key belongs to, and what its scopes allow. */
export { Access, type Places } from "./Auth/Access.ts"
export { Authorization } from "./Auth/Authorization.ts"
export { actingFor, Principal, requireScope, type Scope } from "./Auth/Principal.ts"

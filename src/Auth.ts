/** Authentication and authorization: access keys, principals, scopes. */
export { Access, type KeySources } from "./Auth/Access.ts"
export { Authorization } from "./Auth/Authorization.ts"
export { actingFor, Principal, requireScope, type Scope } from "./Auth/Principal.ts"

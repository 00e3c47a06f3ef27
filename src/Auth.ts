/** Authentication and authorization: access keys, principals, scopes. */
export { Access } from "./Auth/Access.ts"
export { Authorization } from "./Auth/Authorization.ts"
export { Principal, requireScope } from "./Auth/Principal.ts"

/** Authentication and authorization: access keys, principals, scopes. */
export { Authentication } from "./Auth/Authentication.ts"
export { Keys } from "./Auth/Keys.ts"
export { Authorization } from "./Auth/Authorization.ts"
export { authorizeFor, Principal, requireScope } from "./Auth/Principal.ts"

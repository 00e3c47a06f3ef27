/** Authentication and authorization: access keys, JWTs, principals, scopes. */
export { Authentication } from "./Auth/Authentication.ts"
export { Jwts } from "./Auth/Jwt/Jwts.ts"
export { Keys } from "./Auth/Keys.ts"
export { Authorization } from "./Auth/Authorization.ts"
export { OptionalAuthorization, Visitor } from "./Auth/Visitor.ts"
export { authorizeFor, isAdministrator, type Manager, manager, Principal, requireScope } from "./Auth/Principal.ts"

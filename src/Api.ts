/** Composition: the HTTP contract of all modules, for `/openapi.json` and `/docs`. */
import { HttpApi, OpenApi } from "effect/http-api"
import { KeysGroup } from "./Http/KeysApi.ts"

export class Api extends HttpApi.make("spillway")
  .add(KeysGroup)
  .annotateMerge(
    OpenApi.annotations({
      title: "Spillway",
      version: "0.1.0",
      description: "Self-hosted backend for live audio: keeps every acknowledged second, plays any moment back at once."
    })
  ) {}

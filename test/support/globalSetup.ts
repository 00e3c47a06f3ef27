/** What a whole test run shares. */
import type { TestProject } from "vitest/node"
import { open } from "./PostgresBroker.ts"

declare module "vitest" {
  interface ProvidedContext {
    readonly postgresBroker: string
  }
}

export default async (project: TestProject) => {
  const { path, close } = await open()
  project.provide("postgresBroker", path)
  return close
}

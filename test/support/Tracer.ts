/** Traces the modules that a program loads. */

/** `NODE_OPTIONS` that print the URL of every module on standard error, one a line. */
export const traceModules = `--import=data:text/javascript,${encodeURIComponent(`
  import { registerHooks } from "node:module"
  registerHooks({ load: (url, context, next) => (console.error(url), next(url, context)) })
`)}`

/** The loaded packages, and the number of modules. */
export const loadedOf = (output: string) => {
  const urls = output.split("\n").filter((line) => line.startsWith("file:"))
  const packages = new Set(urls.flatMap((url) => /\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1] ?? []))
  return { packages: [...packages].sort(), count: urls.length }
}

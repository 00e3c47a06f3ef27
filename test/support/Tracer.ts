/** Says which modules a program loads. */

/** For `NODE_OPTIONS`: the URL of every module, a line each on standard error. */
export const traceModules = `--import=data:text/javascript,${encodeURIComponent(`
  import { registerHooks } from "node:module"
  registerHooks({ load: (url, context, next) => (console.error(url), next(url, context)) })
`)}`

/** The packages among what was loaded, and how many modules there are. */
export const loadedOf = (output: string) => {
  const urls = output.split("\n").filter((line) => line.startsWith("file:"))
  const packages = new Set(urls.flatMap((url) => /\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1] ?? []))
  return { packages: [...packages].sort(), count: urls.length }
}

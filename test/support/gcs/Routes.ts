/** Routes requests to operations. */
import { ApiError, invalid, notFound } from "./ApiError.ts"
import * as Bearer from "./Bearer.ts"
import type { Fault } from "./Faults.ts"
import { media } from "./Media.ts"
import type { Reply } from "./Media.ts"
import { inOrder } from "./Objects.ts"
import type { Objects } from "./Objects.ts"
import * as Resource from "./Resource.ts"
import * as Signature from "./Signature.ts"
import { attributes } from "./Uploads.ts"
import type { Received, Uploads } from "./Uploads.ts"

export interface Request extends Signature.SignedRequest {
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly url: URL
  readonly body: Received
  readonly fault: Fault | undefined
}

export interface Store {
  readonly objects: Objects
  readonly uploads: Uploads
  /** Account whose signatures are accepted; without it, none are. */
  readonly account: Signature.Account | undefined
  readonly tokens: ReadonlySet<string>
  /** Whether the JSON API requires one of the tokens, or one signed by the account. */
  readonly needsToken: boolean
  readonly permissions: ReadonlySet<string>
}

interface Route {
  readonly operation: string
  readonly bucket: string
  readonly name: string
}

const paths: ReadonlyArray<readonly [method: string, operation: string, path: RegExp]> = [
  ["GET", "buckets", /^\/storage\/v1\/b$/],
  ["POST", "createBucket", /^\/storage\/v1\/b$/],
  ["GET", "bucket", /^\/storage\/v1\/b\/([^/]+)$/],
  ["DELETE", "removeBucket", /^\/storage\/v1\/b\/([^/]+)$/],
  ["GET", "permissions", /^\/storage\/v1\/b\/([^/]+)\/iam\/testPermissions$/],
  ["GET", "list", /^\/storage\/v1\/b\/([^/]+)\/o$/],
  ["GET", "get", /^\/(?:download\/)?storage\/v1\/b\/([^/]+)\/o\/([^/]+)$/],
  ["PATCH", "patch", /^\/storage\/v1\/b\/([^/]+)\/o\/([^/]+)$/],
  ["PUT", "update", /^\/storage\/v1\/b\/([^/]+)\/o\/([^/]+)$/],
  ["DELETE", "remove", /^\/storage\/v1\/b\/([^/]+)\/o\/([^/]+)$/],
  ["POST", "compose", /^\/storage\/v1\/b\/([^/]+)\/o\/([^/]+)\/compose$/],
  ["POST", "rewrite", /^\/storage\/v1\/b\/([^/]+)\/o\/([^/]+)\/rewriteTo\/b\/[^/]+\/o\/[^/]+$/],
  ["POST", "upload", /^\/upload\/storage\/v1\/b\/([^/]+)\/o$/],
  ["PUT", "upload", /^\/upload\/storage\/v1\/b\/([^/]+)\/o$/],
  ["DELETE", "upload", /^\/upload\/storage\/v1\/b\/([^/]+)\/o$/]
]

const uploadOperation = (method: string, query: URLSearchParams): string => {
  if (method === "DELETE") return "cancelUpload"
  if (query.has("upload_id")) return "chunk"
  const type = query.get("uploadType")
  if (type === "multipart" || type === "resumable") return type
  if (type === "media") return "simple"
  throw invalid("Invalid uploadType")
}

/** Anything that is not under the JSON API's paths is a signed request to the XML API: `/bucket/object`. */
export const routeOf = (method: string, url: URL): Route => {
  for (const [wanted, operation, path] of paths) {
    const found = path.exec(url.pathname)
    if (found === null || wanted !== method) continue
    const [bucket = "", name = ""] = found.slice(1, 3).map(decodeURIComponent)
    if (operation === "upload") return { operation: uploadOperation(method, url.searchParams), bucket, name }
    return {
      operation: operation === "get" && url.searchParams.get("alt") === "media" ? "media" : operation,
      bucket,
      name
    }
  }
  if (/^\/(storage|upload|download)\//.test(url.pathname)) throw notFound(`${method} ${url.pathname}`)
  const [, bucket = "", ...rest] = url.pathname.split("/")
  return { operation: "signed", bucket: decodeURIComponent(bucket), name: decodeURIComponent(rest.join("/")) }
}

const json = (value: Resource.Json, query: URLSearchParams): Reply => ({
  status: 200,
  headers: { "content-type": "application/json; charset=UTF-8" },
  body: JSON.stringify(Resource.some(value, query))
})

const nothing = (status: number, headers: Reply["headers"] = {}): Reply => ({ status, headers, body: "" })

const list = ({ objects }: Store, bucket: string, query: URLSearchParams, host: string): Resource.Json => {
  const asked = query.get("maxResults") ?? "1000"
  if (!/^\d+$/.test(asked)) throw invalid(`Invalid unsigned integer value: '${asked}'.`)
  const [prefix, delimiter] = [query.get("prefix") ?? "", query.get("delimiter") ?? ""]
  const [from, to] = [query.get("startOffset"), query.get("endOffset")]
  const token = query.get("pageToken")
  const seen = token === null ? undefined : Buffer.from(token, "base64").toString()
  if (token !== null && Buffer.from(seen ?? "").toString("base64") !== token) throw invalid("Invalid pageToken")
  const groupOf = (name: string): string => {
    const at = delimiter === "" ? -1 : name.indexOf(delimiter, prefix.length)
    return at < 0 ? name : name.slice(0, at + delimiter.length)
  }
  const names = [...objects.bucket(bucket).keys()]
    .filter((name) => name.startsWith(prefix))
    .filter((name) => (from === null || inOrder(name, from) >= 0) && (to === null || inOrder(name, to) < 0))
    .sort(inOrder)
  const groups = [...new Set(names.map(groupOf))].filter((group) => seen === undefined || inOrder(group, seen) > 0)
  const limit = Math.max(1, Math.min(1_000, Number(asked)))
  const page = groups.slice(0, limit)
  const last = page.at(-1)
  const isGroup = (name: string) => delimiter !== "" && name.endsWith(delimiter) && name !== prefix
  const found = page.flatMap((name) => (isGroup(name) ? [] : [objects.bucket(bucket).get(name)]))
  return {
    kind: "storage#objects",
    ...(groups.length > limit && last !== undefined ? { nextPageToken: Buffer.from(last).toString("base64") } : {}),
    ...(page.some(isGroup) ? { prefixes: page.filter(isGroup) } : {}),
    ...(found.length === 0
      ? {}
      : { items: found.flatMap((each) => (each === undefined ? [] : [Resource.object(each, host)])) })
  }
}

interface Source {
  readonly name: string
  readonly generation: string | undefined
  readonly match: string | undefined
}

const sources = (body: Record<string, unknown>): ReadonlyArray<Source> => {
  const given = body["sourceObjects"]
  if (!Array.isArray(given) || given.length === 0) throw invalid("You must provide at least one source component.")
  if (given.length > 32) throw invalid("The number of source components provided (> 32) exceeds the maximum (32)")
  return given.map((each: unknown) => {
    const record: Record<string, unknown> = typeof each === "object" && each !== null ? { ...each } : {}
    const { generation, name, objectPreconditions } = record
    if (typeof name !== "string") throw invalid("Required: sourceObjects.name")
    const match =
      typeof objectPreconditions === "object" &&
      objectPreconditions !== null &&
      "ifGenerationMatch" in objectPreconditions
        ? String(objectPreconditions.ifGenerationMatch)
        : undefined
    return { name, generation: generation === undefined ? undefined : String(generation), match }
  })
}

const compose = ({ objects }: Store, { bucket, name }: Route, query: URLSearchParams, text: string) => {
  const body: unknown = JSON.parse(text)
  const record: Record<string, unknown> = typeof body === "object" && body !== null ? { ...body } : {}
  const parts = sources(record).map((source) => {
    const wanted = new URLSearchParams()
    if (source.generation !== undefined) wanted.set("generation", source.generation)
    if (source.match !== undefined) wanted.set("ifGenerationMatch", source.match)
    return objects.get(bucket, source.name, wanted)
  })
  const destination = record["destination"]
  const said = destination === undefined ? {} : attributes(JSON.stringify(destination))
  const count = parts.reduce((sum, part) => sum + (part.componentCount ?? 1), 0)
  return objects.put(bucket, name, Buffer.concat(parts.map(({ bytes }) => bytes)), said, query, count)
}

const rewrite = ({ objects }: Store, { bucket, name }: Route, { body, url }: Request) => {
  const source = objects.get(bucket, name, url.searchParams, "ifSource")
  const target = /\/rewriteTo\/b\/([^/]+)\/o\/([^/]+)$/.exec(url.pathname)
  const said = attributes(body.bytes.toString())
  const { cacheControl, contentEncoding, contentType, metadata } = source
  const isCopy = said.contentType === undefined && said.metadata === undefined
  const given = isCopy ? { cacheControl, contentEncoding, contentType, metadata } : said
  const [, to = "", key = ""] = target ?? []
  return objects.put(decodeURIComponent(to), decodeURIComponent(key), source.bytes, given, url.searchParams)
}

const more = (range: string | undefined) => nothing(308, range === undefined ? {} : { range })

const chunk = ({ uploads }: Store, { body, fault, headers, url }: Request, host: string): Reply => {
  if (fault?.kind === "committed") return more(fault.bytes === 0 ? undefined : `bytes=0-${fault.bytes - 1}`)
  const hash = headers["x-goog-hash"]
  const reply = uploads.chunk(url.searchParams.get("upload_id") ?? "", headers["content-range"], body, hash)
  if (reply.kind === "done") return json(Resource.object(reply.object, host), url.searchParams)
  return more(reply.range)
}

/** Responds, or throws an `ApiError`. */
export const answer = (store: Store, route: Route, request: Request): Reply => {
  const { account, objects, uploads } = store
  const { body, fault, headers, url } = request
  const query = url.searchParams
  const host = url.origin
  const now = Date.now()
  // The session's URL authorizes the request.
  const isProof = route.operation === "chunk" || route.operation === "cancelUpload" || route.operation === "signed"
  const isKnown = store.tokens.has(headers["authorization"]?.replace(/^Bearer /, "") ?? "")
  const isOpen = isProof || isKnown || !store.needsToken
  if (!isOpen && account !== undefined) Bearer.verify(headers["authorization"], account, now)
  const need = (permission: string) => {
    if (!store.permissions.has(permission)) {
      throw new ApiError(403, `${account?.clientEmail ?? "anonymous"} does not have ${permission} access.`)
    }
  }
  const bytes = body.bytes
  const range = fault?.kind === "ignoreRange" ? undefined : headers["range"]
  const shown = (object: Parameters<typeof Resource.object>[0]) => json(Resource.object(object, host), query)
  switch (route.operation) {
    case "buckets":
      return json({ kind: "storage#buckets", items: objects.buckets.map(Resource.bucket) }, query)
    case "createBucket": {
      const { name } = attributes(bytes.toString())
      objects.createBucket(name ?? "")
      return json(Resource.bucket(name ?? ""), query)
    }
    case "bucket":
      objects.bucket(route.bucket)
      need("storage.buckets.get")
      return json(Resource.bucket(route.bucket), query)
    case "removeBucket":
      objects.removeBucket(route.bucket)
      return nothing(204)
    case "permissions": {
      objects.bucket(route.bucket)
      const permissions = query.getAll("permissions").filter((each) => store.permissions.has(each))
      return json({ kind: "storage#testIamPermissionsResponse", permissions }, query)
    }
    case "list":
      objects.bucket(route.bucket)
      need("storage.objects.list")
      if (fault?.kind === "emptyPage") return json({ kind: "storage#objects", nextPageToken: "bW9yZQ==" }, query)
      return json(list(store, route.bucket, query, host), query)
    case "get":
      need("storage.objects.get")
      return shown(objects.get(route.bucket, route.name, query))
    case "media":
      need("storage.objects.get")
      return media(objects.get(route.bucket, route.name, query), range)
    case "patch":
    case "update": {
      need("storage.objects.update")
      const said = attributes(bytes.toString())
      return shown(objects.update(route.bucket, route.name, said, query, route.operation === "patch"))
    }
    case "remove":
      need("storage.objects.delete")
      objects.remove(route.bucket, route.name, query)
      return nothing(204)
    case "compose":
      need("storage.objects.create")
      return shown(compose(store, route, query, bytes.toString()))
    case "rewrite": {
      const object = rewrite(store, route, request)
      const size = String(object.bytes.length)
      const resource = Resource.object(object, host)
      return json(
        { kind: "storage#rewriteResponse", totalBytesRewritten: size, objectSize: size, done: true, resource },
        query
      )
    }
    case "multipart":
      need("storage.objects.create")
      return shown(uploads.multipart(route.bucket, query, headers["content-type"], bytes))
    case "simple":
      need("storage.objects.create")
      return shown(uploads.simple(route.bucket, query, headers["content-type"], bytes, headers["x-goog-hash"]))
    case "resumable": {
      need("storage.objects.create")
      const type = headers["x-upload-content-type"]
      const id = uploads.start(route.bucket, query, type, headers["x-upload-content-length"], bytes.toString())
      const location = `${host}/upload/storage/v1/b/${route.bucket}/o?uploadType=resumable&upload_id=${id}`
      return nothing(200, { location, "x-guploader-uploadid": id })
    }
    case "chunk":
      return chunk(store, request, host)
    case "cancelUpload":
      return uploads.cancel(query.get("upload_id") ?? "")
    case "signed": {
      Signature.verify(request, account, now)
      if (request.method !== "GET" && request.method !== "HEAD") throw new ApiError(405, "Not allowed here")
      return media(objects.get(route.bucket, route.name, new URLSearchParams()), range)
    }
    default:
      throw notFound(route.operation)
  }
}

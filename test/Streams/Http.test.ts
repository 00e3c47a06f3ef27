/** `/api/v1/studio/streams` of a real server. */
import { assert, describe, test } from "vitest"
import { fileServer } from "../support/TestServer.ts"

const server = fileServer()
const path = "/api/v1/studio/streams"

const call = async (
  method: string,
  target: string,
  {
    body,
    headers = {},
    key = server.key
  }: { body?: unknown; headers?: Record<string, string>; key?: string | null } = {}
) => {
  const response = await fetch(server.url + target, {
    method,
    headers: {
      ...(key === null ? {} : { authorization: `Bearer ${key}` }),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...headers
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) })
  })
  const text = await response.text()
  return {
    status: response.status,
    etag: response.headers.get("etag"),
    body: JSON.parse(text === "" ? "null" : text)
  }
}

const keyOf = async (uid: string): Promise<string> => (await call("POST", "/v1/keys", { body: { uid } })).body.key

const create = (slug: string, fields: object = {}, key?: string) =>
  call("POST", path, { body: { slug, title: `The ${slug}`, ...fields }, ...(key === undefined ? {} : { key }) })

describe("A stream", () => {
  test("gets a slug that others ask for at the same time, or 409", async () => {
    await Promise.all(["first", "second"].map((slug) => create(slug)))
    const seen: Array<number> = []
    let slugs = ["first", "second"]
    for (let round = 0; round < 10; round++) {
      const slug = `wanted-${round}`
      const answers = await Promise.all([
        ...slugs.map((from) => call("PATCH", `${path}/${from}`, { body: { slug } })),
        create(slug)
      ])
      seen.push(...answers.map(({ status }) => status))
      assert.lengthOf(
        answers.filter(({ status }) => status < 300),
        1
      )
      slugs = slugs.map((from, n) => (answers[n]?.status === 200 ? slug : from))
      if (answers[2]?.status === 201) await call("DELETE", `${path}/${slug}`)
    }
    assert.deepStrictEqual(
      seen.filter((status) => ![200, 201, 409].includes(status)),
      []
    )
  })

  test("is created with a key that no other response contains, and read back", async () => {
    const ada = await keyOf("ada")
    const made = await create("ada-live", { description: "Mornings", chat: { slow_mode_seconds: 5 } }, ada)
    assert.strictEqual(made.status, 201)
    assert.match(made.body.key, /^spw_live_[A-Za-z0-9_-]{43}$/)
    const read = await call("GET", `${path}/ada-live`, { key: ada })
    assert.strictEqual(read.status, 200)
    assert.strictEqual(read.etag, '"1"')
    assert.deepStrictEqual(read.body, made.body.stream)
    const { created_at: created, ...rest } = read.body
    assert.isTrue(Math.abs(Date.parse(created) - Date.now()) < 60_000)
    assert.deepStrictEqual(rest, {
      slug: "ada-live",
      uid: "ada",
      title: "The ada-live",
      description: "Mornings",
      visibility: "public",
      chat: { enabled: true, slow_mode_seconds: 5 },
      live: null
    })
  })

  test("keeps its slug for itself until it is deleted", async () => {
    const [bob, eve] = [await keyOf("bob"), await keyOf("eve")]
    await create("one-slug", {}, bob)
    const taken = await create("one-slug", {}, eve)
    assert.deepStrictEqual([taken.status, taken.body.type], [409, "urn:spillway:problem:slug-taken"])
    await create("other-slug", {}, eve)
    const renamed = await call("PATCH", `${path}/other-slug`, { key: eve, body: { slug: "one-slug" } })
    assert.strictEqual(renamed.status, 409)
    assert.strictEqual((await call("DELETE", `${path}/one-slug`, { key: bob })).status, 204)
    assert.strictEqual((await call("GET", `${path}/one-slug`, { key: bob })).status, 404)
    const again = await call("PATCH", `${path}/other-slug`, { key: eve, body: { slug: "one-slug" } })
    assert.deepStrictEqual([again.status, again.body.slug, again.etag], [200, "one-slug", '"2"'])
  })

  test("names the field that is wrong", async () => {
    const of = async (body: object) => (await call("POST", path, { body })).body.errors?.[0]?.path?.join(".")
    const good = { slug: "a-good-slug", title: "t" }
    for (const slug of ["ab", "-abc", "abc-", "Abc", "a_c", "ü-boot", "a".repeat(65), 7])
      assert.strictEqual(await of({ ...good, slug }), "body.slug", String(slug))
    for (const title of ["", "   ", "x".repeat(256), "a\0b"])
      assert.strictEqual(await of({ ...good, title }), "body.title", title)
    assert.strictEqual(await of({ ...good, description: "x".repeat(5_001) }), "body.description")
    assert.strictEqual(await of({ ...good, visibility: "secret" }), "body.visibility")
    for (const seconds of [-1, 121, 1.5])
      assert.strictEqual(await of({ ...good, chat: { slow_mode_seconds: seconds } }), "body.chat.slow_mode_seconds")
    assert.strictEqual(await of({ ...good, color: "red" }), "body.color")
    for (const [query, field] of [
      ["limit=0", "query.limit"],
      ["limit=101", "query.limit"],
      ["limit=1e9", "query.limit"],
      ["before=x", "query.before"],
      ["before=-1", "query.before"]
    ]) {
      const { body, status } = await call("GET", `${path}?${query}`)
      assert.deepStrictEqual([status, body.errors[0].path.join(".")], [400, field], query)
    }
    assert.strictEqual((await call("GET", `${path}/NOT`)).status, 400)
  })

  test("is changed once for one ETag", async () => {
    const key = await keyOf("cas")
    await create("cas-live", {}, key)
    const patch = (title: string, tag: string) =>
      call("PATCH", `${path}/cas-live`, { key, body: { title }, headers: { "if-match": tag } })
    const both = await Promise.all([patch("one", '"1"'), patch("two", '"1"')])
    assert.sameMembers(
      both.map(({ status }) => status),
      [200, 412]
    )
    const lost = both.find(({ status }) => status === 412)
    assert.include(lost?.body.detail, '"2"')
    assert.strictEqual((await patch("three", '"2"')).body.title, "three")
    const four = await patch(`${"4".repeat(255)} `, "*")
    assert.deepStrictEqual([four.etag, four.body.title], ['"4"', "4".repeat(255)])
    const remove = (tag: string) => call("DELETE", `${path}/cas-live`, { key, headers: { "if-match": tag } })
    assert.strictEqual((await remove('"3"')).status, 412)
    assert.strictEqual((await remove('"4"')).status, 204)
  })

  test("belongs to its owner: others neither change it nor read it if it is private", async () => {
    const [own, foreign] = [await keyOf("own"), await keyOf("foreign")]
    await create("own-live", { visibility: "private" }, own)
    const target = `${path}/own-live`
    for (const key of [foreign, null]) assert.strictEqual((await call("GET", target, { key })).status, 404)
    assert.strictEqual((await call("GET", target, { key: "spw_wrong" })).status, 401)
    assert.strictEqual((await call("PATCH", target, { key: foreign, body: { title: "x" } })).status, 404)
    assert.strictEqual((await call("DELETE", target, { key: foreign })).status, 404)
    assert.strictEqual((await call("POST", `${target}/key`, { key: foreign })).status, 404)
    assert.strictEqual((await call("GET", target)).status, 200)
    assert.strictEqual((await call("GET", `${target}?uid=foreign`)).status, 404)
    await call("PATCH", target, { key: own, body: { visibility: "unlisted" } })
    assert.strictEqual((await call("GET", target, { key: null })).status, 200)
    assert.strictEqual((await call("PATCH", target, { key: null, body: { title: "x" } })).status, 401)
    const list = await call("GET", path, { key: foreign })
    assert.deepStrictEqual(list.body, { streams: [], next: null })
  })

  test("is listed once, newest first, across pages", async () => {
    const key = await keyOf("many")
    const slugs = Array.from({ length: 5 }, (_, n) => `many-${n}`)
    for (const slug of slugs) await create(slug, {}, key)
    const seen: Array<string> = []
    for (let next: string | null = ""; next !== null;) {
      const { body } = await call("GET", `${path}?limit=2${next === "" ? "" : `&before=${next}`}`, { key })
      seen.push(...body.streams.map(({ slug }: { slug: string }) => slug))
      next = body.next
    }
    assert.deepStrictEqual(seen, slugs.toReversed())
  })

  test("is one of at most 100 of its user, created at once or one by one", async () => {
    const key = await keyOf("full")
    const answers: Array<Awaited<ReturnType<typeof create>>> = []
    for (let n = 0; n < 104; n += 26) {
      const batch = Array.from({ length: 26 }, (_, each) => create(`full-${n + each}`, {}, key))
      answers.push(...(await Promise.all(batch)))
    }
    assert.lengthOf(
      answers.filter(({ status }) => status === 201),
      100
    )
    const refused = answers.find(({ status }) => status !== 201)
    assert.deepStrictEqual([refused?.status, refused?.body.type], [409, "urn:spillway:problem:too-many-streams"])
    await call("DELETE", `${path}/${answers.find(({ status }) => status === 201)?.body.stream.slug}`, { key })
    assert.strictEqual((await create("full-again", {}, key)).status, 201)
  })
})

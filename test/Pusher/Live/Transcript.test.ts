/** What the server takes from a transcript message, and to which conversation it belongs. */
import { assert, it } from "@effect/vitest"
import { Option } from "effect"
import { decode, maxSegmentChars, maxSegments } from "../../../src/Pusher/Live/Transcript.ts"

const message = (body: unknown) => Buffer.from(JSON.stringify(body))
const decoded = (body: unknown, current?: string) => Option.getOrUndefined(decode(message(body), current))

it("routes a message by its own conversation, else by that of the socket", () => {
  const segments = [{ id: "a", start: 0 }]
  assert.strictEqual(decoded({ segments, memory_id: "mine" }, "other")?.conversation, "mine")
  assert.strictEqual(decoded({ segments, memory_id: null }, "other")?.conversation, "other")
  assert.strictEqual(decoded({ segments }, "other")?.conversation, "other")
  for (const unusable of [
    { segments, memory_id: null },
    { segments, memory_id: "../x" },
    { memory_id: "c" },
    [],
    null,
    1
  ])
    assert.isUndefined(decoded(unusable))
  assert.isTrue(Option.isNone(decode(Buffer.from('{"segments":['), "c")))
})

it("keeps unknown fields, and gives a segment without a usable id one that does not depend on its text", () => {
  const segment = {
    id: "s-1",
    start: 1.25,
    end: 2,
    text: "ü\u0000\ud800",
    speaker: "SPEAKER_00",
    more: { x: [1, null] }
  }
  const [kept] = decoded({ segments: [segment] }, "c")?.segments ?? []
  assert.deepStrictEqual([kept?.id, kept?.start, JSON.parse(kept?.json ?? "")], ["s-1", 1.25, segment])
  const idOf = (one: object) => decoded({ segments: [one] }, "c")?.segments[0]?.id ?? ""
  const first = { start: 1, speaker_id: 0, text: "good" }
  assert.match(idOf(first), /^derived-[\da-f]{32}$/)
  assert.strictEqual(idOf(first), idOf({ ...first, text: "good morning", end: 3 }))
  assert.strictEqual(idOf({ ...first, id: 7 }), idOf({ ...first, id: "with a space" }))
  const others = [first, { ...first, start: 2 }, { ...first, speaker_id: 1 }]
  assert.strictEqual(new Set(others.map(idOf)).size, 3)
})

it("rejects segments that can't be stored and keeps the others, but ignores a message of too many", () => {
  const text = Buffer.from(
    `{"segments":[{"id":"ok","start":1},{"id":"deep","start":1,"x":${"[".repeat(100_000)}${"]".repeat(100_000)}},
      {"id":"long","start":1,"text":"${"x".repeat(maxSegmentChars)}"},{"id":"none"},{"id":"text","start":"1"},
      {"id":"infinite","start":1e999},null,[],"x"]}`
  )
  const found = Option.getOrUndefined(decode(text, "c"))
  assert.deepStrictEqual([found?.segments.map(({ id }) => id), found?.rejected], [["ok"], 8])
  assert.strictEqual(found?.chars, found?.segments[0]?.json.length)
  const many = Array.from({ length: maxSegments }, (_, start) => ({ start }))
  assert.lengthOf(decoded({ segments: many }, "c")?.segments ?? [], maxSegments)
  assert.isUndefined(decoded({ segments: [...many, { start: -1 }] }, "c"))
})

/** The version of an audio file. */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import type { FileState } from "../../../src/Recording/Catalog/IndexChange.ts"
import { LiveOverlay } from "../../../src/Recording/Catalog/LiveOverlay.ts"
import * as RecordedFile from "../../../src/Recording/Catalog/RecordedFile.ts"

const state: FileState = {
  start: 1_700_000_000,
  firstId: "0c3a5b9e-7f21-8d4c-9a10-018bcfe56800",
  sampleRate: 16_000,
  codec: "pcm16",
  endAt: 1_700_000_001 * 16_000,
  captured: 16_000,
  lost: 0,
  chunks: 1,
  lastStart: 1_700_000_000,
  lastId: "0c3a5b9e-7f21-8d4c-9a10-018bcfe56800"
}

const versionOf = (file: FileState): string => {
  const opened = { id: "file", state: file, revision: 0, view: new LiveOverlay() }
  const noPage = () => Effect.die(new Error("not read"))
  return RecordedFile.make({ uid: "u", conversation: "c" }, opened, Effect.succeed(opened), noPage).version
}

it("differs from that of other audio with the same start and length, recorded after a purge", () => {
  assert.notStrictEqual(versionOf(state), versionOf({ ...state, firstId: "51d7a0f4-33c8-8e0b-b6a2-018bcfe56800" }))
  assert.strictEqual(versionOf(state), versionOf({ ...state, endAt: state.endAt + 16_000, captured: 32_000 }))
})

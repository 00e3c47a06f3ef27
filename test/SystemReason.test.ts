/** Messages of failed calls say what the system said, and name a path once. */
import { assert, it } from "@effect/vitest"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect, FileSystem } from "effect"
import * as fs from "node:fs"
import { JournalError } from "../src/Recording/Journal/Segment.ts"
import { systemReason, systemReasonAt } from "../src/SystemReason.ts"

const path = "/nowhere/segment"

it.effect("gives the system's reason of a failed call of Effect's file system", () =>
  Effect.gen(function* () {
    const error = yield* Effect.flip((yield* FileSystem.FileSystem).readFileString(path))
    assert.strictEqual(systemReason(error), "no such file or directory")
    assert.strictEqual(systemReasonAt(error), `no such file or directory: ${path}`)
  }).pipe(Effect.provide(NodeServices.layer))
)

it.effect("gives the system's reason of a failed call of Node, and the message of any other error", () =>
  Effect.gen(function* () {
    const cause = yield* Effect.callback<Error>((resume) =>
      fs.open(path, (error) => resume(Effect.succeed(error ?? new Error("it was opened"))))
    )
    const error = new JournalError({ operation: "open", path, cause })
    assert.strictEqual(error.message, `the journal can't open ${path}: no such file or directory`)
    assert.strictEqual(systemReason(new Error("the segment was deleted")), "the segment was deleted")
  })
)

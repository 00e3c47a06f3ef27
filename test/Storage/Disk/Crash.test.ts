/** `src/Storage/Disk` after a kill: every acknowledged object is there, and every object is whole. */
import { assert, it } from "@effect/vitest"
import { crc32c } from "@node-rs/crc32"
import { Effect, Random, Stream } from "effect"
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import { join } from "node:path"
import { Storage } from "../../../src/Storage.ts"
import type { ObjectHead } from "../../../src/Storage.ts"
import { seed } from "../../support/Seed.ts"
import { diskStorage } from "../support/TestDisk.ts"
import { temporaryDirectory } from "../../support/TemporaryDirectory.ts"

const kills = 8

/** Kills the putting process after `count` acknowledged puts; returns its output. */
const killedAfter = (dataDir: string, take: string, count: number) =>
  Effect.callback<string>((resume) => {
    let said = ""
    const child = spawn(process.execPath, [join(import.meta.dirname, "PutLoop.ts"), dataDir, take], {
      stdio: ["ignore", "pipe", "inherit"]
    })
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      said += text
      if (said.split("\n").length > count) child.kill("SIGKILL")
    })
    child.on("close", (_code, signal) => {
      resume(signal === "SIGKILL" ? Effect.succeed(said) : Effect.die(new Error("the putting process ended by itself")))
    })
    return Effect.sync(() => child.kill("SIGKILL"))
  })

const everything = Effect.gen(function* () {
  const storage = yield* Storage
  const all: Array<ObjectHead> = []
  let after: string | undefined = ""
  while (after !== undefined) {
    const page: { objects: ReadonlyArray<ObjectHead>; next: string | undefined } = yield* storage.list("", { after })
    all.push(...page.objects)
    after = page.next
  }
  return all
})

const check = Effect.fnUntraced(function* (said: string) {
  const storage = yield* Storage
  const heads = yield* everything
  for (const head of heads) {
    const bytes = yield* Stream.mkUint8Array(storage.get(head.key))
    assert.deepStrictEqual([bytes.length, crc32c(bytes)], [head.size, head.crc32c])
    assert.deepStrictEqual({ ...head.metadata, label: "" }, { key: head.key, label: "" })
  }
  const found = new Set(
    heads.flatMap(({ crc32c, key, metadata, size }) => [
      `${key} ${size} ${crc32c}`,
      ...(metadata["label"] === "1" ? [`${key} label`] : [])
    ])
  )
  const missing = said
    .split("\n")
    .slice(0, -1)
    .filter((line) => !found.has(line))
  assert.deepStrictEqual(missing, [])
})

it.live(`keeps every confirmed object, and only whole ones, over ${kills} kills`, () =>
  Effect.gen(function* () {
    let unfinished = 0
    const once = Effect.fnUntraced(function* (take: number) {
      const dataDir = yield* temporaryDirectory
      const said = yield* killedAfter(dataDir, String(take), yield* Random.nextIntBetween(1, 40))
      unfinished += fs.readdirSync(join(dataDir, "objects/~tmp")).length
      yield* check(said).pipe(Effect.provide(diskStorage(dataDir), { local: true }))
    }, Effect.scoped)
    yield* Effect.forEach(
      Array.from({ length: kills }, (_, i) => i),
      once,
      { concurrency: 2, discard: true }
    )
    assert.isAbove(unfinished, 0, "no kill met an unfinished put")
  }).pipe(Random.withSeed(seed))
)

/** Cases of the architecture rules: files that violate a rule, and files that follow it. */
import { assert, describe, it } from "@effect/vitest"
import { problems } from "../../scripts/Architecture.ts"
import { parse } from "../../scripts/Architecture/Source.ts"

export type Files = Readonly<Record<string, string>>

export interface Case {
  readonly rule: string
  readonly promise: string
  readonly bad: Files
  /** Path and line that the rule must report. */
  readonly where: string
  readonly good: Files
}

export const found = (files: Files) =>
  problems(new Map(Object.entries(files).map(([path, text]) => [path, parse(path, text)] as const)))

export const file = (body: string) => `/** A file. */\n${body}\n`

export const lines = (count: number) => Array.from({ length: count }, (_, i) => `const x${i} = ${i}`).join("\n")

/** Checks that each rule rejects the bad files and accepts the good ones. */
export const suite = (name: string, cases: ReadonlyArray<Case>) =>
  describe(name, () => {
    for (const { bad, good, promise, rule, where } of cases) {
      it(`${rule}: ${promise}`, () => {
        const hits = found(bad).filter((line) => line.includes(`[${rule}]`))
        assert.isTrue(hits[0]?.startsWith(where), `found instead: ${hits.join("; ")}`)
        assert.deepStrictEqual(
          found(good).filter((line) => line.includes(`[${rule}]`)),
          []
        )
      })
    }
  })

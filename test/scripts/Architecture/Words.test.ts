/** Names, phrases of comments and titles, and the share of comments. */
import { file, lines, suite } from "../../support/RuleCases.ts"

suite("Words", [
  {
    rule: "vocabulary",
    promise: "refuses names that are not the field's words",
    bad: { "src/A/B.ts": file("export const Turns = 1") },
    where: "src/A/B.ts:1",
    good: { "src/A/FairQueue.ts": file("export const FairQueue = 1"), "test/Turns.ts": file("export const Turns = 1") }
  },
  {
    rule: "prose",
    promise: "refuses a phrase that is not plain English in a comment",
    bad: { "src/A.ts": file("/** Bytes a second, of\n * late. */") },
    where: "src/A.ts:2",
    good: { "src/A.ts": file('/** Smoothed rate, which may have changed. */\nexport const A = "of late"') }
  },
  {
    rule: "titles",
    promise: "refuses a title that is no promise in plain English",
    bad: { "test/A.test.ts": file('it.effect.each([1])("should work: %s", () => {})') },
    where: "test/A.test.ts:2",
    good: { "test/A.test.ts": file('it("works", () => { expect("it should") })') }
  },
  {
    rule: "titles",
    promise: "refuses a title with a phrase that is not plain English",
    bad: { "test/A.test.ts": file("describe(`what is there ${1}`, () => {})") },
    where: "test/A.test.ts:2",
    good: { "src/A.ts": file('it("should not be here", () => {})') }
  },
  {
    rule: "comments",
    promise: "refuses a source tree with too few comments",
    bad: { "src/A.ts": file(lines(1_000)) },
    where: "src/A.ts:1",
    good: { "src/A.ts": file(`${lines(1_000)}\n${"// A reason.\n".repeat(50)}`) }
  },
  {
    rule: "comments",
    promise: "refuses a source tree with more than 8 % of comments",
    bad: { "src/A.ts": file(`${lines(1_000)}\n${"// A reason.\n".repeat(90)}`) },
    where: "src/A.ts:1",
    good: { "src/A.ts": file(`${lines(1_000)}\n${"// A reason.\n".repeat(80)}`) }
  }
])

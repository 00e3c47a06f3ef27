/** The plans of the statements that a service runs: what they scan, sort and read. */
import { Effect, Schema } from "effect"
import { SqlClient, Statement } from "effect/sql"
import { Db } from "../../src/Db.ts"

interface Node {
  readonly "Node Type": string
  readonly "Relation Name"?: string
  readonly "Actual Rows": number
  readonly "Actual Loops": number
  readonly "Rows Removed by Filter"?: number
  readonly "Rows Removed by Index Recheck"?: number
  readonly Plans?: ReadonlyArray<Node>
}

const decode = Schema.decodeUnknownEffect(Schema.Array(Schema.Struct({ Plan: Schema.Unknown })))

/** The statements that `work` runs, with their parameters. */
export const statementsOf = <A, E, R>(work: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const statements: Array<Statement.Statement<unknown>> = []
    const record: Statement.Transformer = (statement) =>
      Effect.sync(() => {
        statements.push(statement)
        return statement
      })
    yield* Effect.provideService(work, Statement.CurrentTransformer, record)
    return statements
  })

/** As `statementsOf`, of `work` that is undone, so that its statements can run again. */
export const statementsUndone = (work: Effect.Effect<unknown, unknown>) =>
  Effect.gen(function* () {
    const db = yield* Db
    const undone = yield* db
      .transaction("test.undo", () => Effect.flatMap(Effect.orDie(statementsOf(work)), (ran) => Effect.fail({ ran })))
      .pipe(Effect.flip)
    return "ran" in undone ? undone.ran : yield* Effect.die(undone)
  })

const flatten = (node: Node): ReadonlyArray<Node> => [node, ...(node.Plans ?? []).flatMap(flatten)]

/** Rows that a node has read, over all loops. */
const readBy = (node: Node) =>
  (node["Actual Rows"] + (node["Rows Removed by Filter"] ?? 0) + (node["Rows Removed by Index Recheck"] ?? 0)) *
  node["Actual Loops"]

/** Runs a statement, undoes what it has changed, and returns what is wrong with its plan: it reads or sorts over `most` rows. */
export const problemsOf = (statement: Statement.Statement<unknown>, most: number) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const [text] = statement.compile()
    const explained: { plan?: Node } = {}
    yield* sql
      .withTransaction(
        Effect.gen(function* () {
          const [row] = yield* sql`explain (analyze, timing off, summary off, format json) ${statement}`
          const [first] = yield* decode(row?.["QUERY PLAN"])
          explained.plan = first?.Plan as Node
          return yield* Effect.fail("undo" as const)
        })
      )
      .pipe(Effect.catch((error) => (error === "undo" ? Effect.void : Effect.die(error))))
    if (explained.plan === undefined) return [`no plan: ${text}`]
    return flatten(explained.plan).flatMap((node) => {
      const name = `${node["Node Type"]} ${node["Relation Name"] ?? ""}`.trim()
      const sorted = node["Node Type"].includes("Sort") ? (node.Plans ?? []).map(readBy) : []
      const read = Math.max(readBy(node), ...sorted)
      return read > most ? [`${name} reads ${read} rows: ${text.replaceAll(/\s+/g, " ")}`] : []
    })
  })

/** What each failure of the client means for trying again. */
import { assert, describe, it } from "@effect/vitest"
import { SqlError } from "effect/sql"
import * as Fault from "../../src/Db/Fault.ts"
import { answered, broke } from "./Errors.ts"

describe("Fault", () => {
  it.each(["40001", "40P01", "55P03", "57P03", "53300"])("tries %s again: the server applied nothing", (code) => {
    assert.strictEqual(Fault.of(answered(code)), "refused")
    assert.strictEqual(Fault.of(answered(code, "connect")), "refused")
  })

  it("tries again what could not connect, and what lost its idle connection", () => {
    assert.strictEqual(Fault.of(broke("connect")), "refused")
    assert.strictEqual(Fault.of(answered("57P01", "connect")), "refused")
    assert.strictEqual(Fault.of(answered("57P01")), "refused")
  })

  it("takes a connection that broke under a statement for ambiguous, whatever Node calls the break", () => {
    for (const code of ["EPIPE", "ECONNRESET", ""]) assert.strictEqual(Fault.of(broke("query", code)), "broken")
  })

  it("takes 57014 for a timeout", () => assert.strictEqual(Fault.of(answered("57014")), "timeout"))

  it.each(["53100", "53200", "58030", "25006", "25P03", "08006"])("does not hammer a server that says %s", (code) =>
    assert.strictEqual(Fault.of(answered(code)), "unavailable")
  )

  it.each(["28P01", "3D000", "42501"])("does not try to log in again after %s", (code) =>
    assert.strictEqual(Fault.of(answered(code, "connect")), "unavailable")
  )

  it.each(["23505", "23503", "42601", "42P01", "22P02", "25P02"])("takes %s for a mistake in the program", (code) =>
    assert.strictEqual(Fault.of(answered(code)), "bug")
  )

  it("takes what no server said for a mistake in the program", () => {
    const reason = new SqlError.UnknownError({ cause: new Error("can't encode"), operation: "query" })
    assert.strictEqual(Fault.of(new SqlError.SqlError({ reason })), "bug")
  })

  it("never reads a message", () => {
    const reason = new SqlError.UnknownError({
      cause: new Error("40001 deadlock connection timeout"),
      operation: "query"
    })
    assert.strictEqual(Fault.of(new SqlError.SqlError({ reason })), "bug")
  })
})

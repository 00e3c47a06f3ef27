/** Which failures of the client are retried. */
import { assert, describe, it } from "@effect/vitest"
import { SqlError } from "effect/sql"
import * as Fault from "../../src/Db/Fault.ts"
import { answered, broke } from "./support/Errors.ts"

describe("Fault", () => {
  it.each(["40001", "40P01", "55P03", "57P03", "53300"])(
    "classifies %s as safe to retry: the server applied nothing",
    (code) => {
      assert.strictEqual(Fault.classify(answered(code)), "refused")
      assert.strictEqual(Fault.classify(answered(code, "connect")), "refused")
    }
  )

  it("classifies a failed connect and a lost idle connection as safe to retry", () => {
    assert.strictEqual(Fault.classify(broke("connect")), "refused")
    assert.strictEqual(Fault.classify(answered("57P01", "connect")), "refused")
    assert.strictEqual(Fault.classify(answered("57P01")), "refused")
  })

  it("classifies a connection that broke during a statement as ambiguous, whatever Node's error code", () => {
    for (const code of ["EPIPE", "ECONNRESET", ""]) assert.strictEqual(Fault.classify(broke("query", code)), "broken")
  })

  it("classifies 57014 as a timeout", () => assert.strictEqual(Fault.classify(answered("57014")), "timeout"))

  it.each(["53100", "53200", "58030", "25006", "25P03", "08006"])("classifies %s as a reason to retry slowly", (code) =>
    assert.strictEqual(Fault.classify(answered(code)), "unavailable")
  )

  it.each(["28P01", "3D000", "42501"])("classifies %s as permanent", (code) =>
    assert.strictEqual(Fault.classify(answered(code, "connect")), "unavailable")
  )

  it.each(["23505", "23503", "42601", "42P01", "22P02", "25P02"])("classifies %s as a defect", (code) =>
    assert.strictEqual(Fault.classify(answered(code)), "bug")
  )

  it("classifies an error that came from no server as a defect", () => {
    const reason = new SqlError.UnknownError({ cause: new Error("can't encode"), operation: "query" })
    assert.strictEqual(Fault.classify(new SqlError.SqlError({ reason })), "bug")
  })

  it("does not depend on the error's message", () => {
    const reason = new SqlError.UnknownError({
      cause: new Error("40001 deadlock connection timeout"),
      operation: "query"
    })
    assert.strictEqual(Fault.classify(new SqlError.SqlError({ reason })), "bug")
  })
})

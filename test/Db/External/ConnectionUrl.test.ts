/** Parsing of connection URIs, and what is rejected. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import * as ConnectionUrl from "../../../src/Db/External/ConnectionUrl.ts"

const parse = ConnectionUrl.parse
const host = (name: string, port = 5432, address?: string) => ({ host: name, port, address })

describe("A connection URI", () => {
  it.effect("has the defaults of libpq", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* parse("postgres://localhost"), {
        hosts: [host("localhost")],
        user: undefined,
        password: undefined,
        database: undefined,
        applicationName: undefined,
        options: undefined,
        connectTimeout: undefined,
        sslMode: "prefer",
        sslRootCert: undefined,
        sslCert: undefined,
        sslKey: undefined,
        sslPassword: undefined,
        writable: false
      })
    })
  )

  it.effect("accepts several hosts with ports, addresses in brackets, and sockets", () =>
    Effect.gen(function* () {
      const hostsOf = (url: string) => Effect.map(parse(url), ({ hosts }) => hosts)
      assert.deepStrictEqual(yield* hostsOf("postgres://a:1,b,[::1]:3/d"), [host("a", 1), host("b"), host("::1", 3)])
      assert.deepStrictEqual(yield* hostsOf("postgres://%2Fvar%2Frun:7/d"), [host("/var/run", 7)])
      assert.deepStrictEqual(yield* hostsOf("postgres:///d?host=/cloudsql/p:r:i"), [host("/cloudsql/p:r:i")])
      assert.deepStrictEqual(yield* hostsOf("postgres:///d?host=a,b&port=6"), [host("a", 6), host("b", 6)])
      assert.deepStrictEqual(yield* hostsOf("postgres://x:1/d?host=a,b&port=6,&hostaddr=10.0.0.1,10.0.0.2"), [
        host("a", 6, "10.0.0.1"),
        host("b", 5432, "10.0.0.2")
      ])
    })
  )

  it.effect("decodes percent-encoding, and keeps plus signs and colons of passwords", () =>
    Effect.gen(function* () {
      const { database, password, user } = yield* parse("postgres://a%40b:c:d+e%2F@h/na%20me")
      assert.deepStrictEqual([user, password, database], ["a@b", "c:d+e/", "na me"])
    })
  )

  it.effect("reads ssl=true as sslmode=require, and the last of repeated parameters", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* parse("postgres://h/d?sslmode=disable&ssl=true")).sslMode, "require")
      assert.strictEqual((yield* parse("postgres://h/d?sslrootcert=system")).sslMode, "verify-full")
      assert.deepStrictEqual((yield* parse("postgres://h/d?connect_timeout=7")).connectTimeout, Duration.seconds(7))
    })
  )

  it.effect("accepts parameters that ask for the defaults", () =>
    parse("postgres://h/d?channel_binding=prefer&client_encoding=UTF8&keepalives=1&gssencmode=disable")
  )

  const refused = {
    "sslmode=no-verify": /sslmode=no-verify, which is not supported: write sslmode=require/,
    "sslmode=on": /write one of disable, allow, prefer, require, verify-ca, verify-full/,
    "ssl=no-verify": /has ssl=no-verify|has ssl, .*: write ssl=true, or sslmode/,
    "channel_binding=require": /channel_binding=require, .*: remove it: channel binding/,
    "target_session_attrs=standby": /target_session_attrs=standby, .*: write target_session_attrs=read-write/,
    "schema=audio": /has schema, .*: write options=-csearch_path/,
    "pgbouncer=true": /has pgbouncer, .*: remove it/,
    "service=mine": /has service, which is not supported/,
    "connect_timeout=soon": /connect_timeout that is not supported: write a number of seconds/,
    "sslcert=a": /one of sslcert and sslkey: write both, or neither/,
    "host=a,b&port=1,2,3": /2 hosts and 3 ports/,
    "port=x": /a port is not a number/,
    "host=": /names no host: write one, or host=\/var\/run\/postgresql/,
    flag: /a parameter is not of the form name=value/
  }
  for (const [query, message] of Object.entries(refused)) {
    it.effect(`rejects ${query} by name`, () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(parse(`postgres://u:hunter2@h/d?${query}`))
        assert.match(error.message, message)
        assert.notInclude(error.message, "hunter2")
      })
    )
  }

  it.effect("explains how to encode a password that it can't parse, without showing it", () =>
    Effect.gen(function* () {
      for (const password of ["hunter2@x", "hunter2/x", "hunter2%x"]) {
        const error = yield* Effect.flip(parse(`postgres://u:${password}@h/d`))
        assert.match(error.message, /^DATABASE_URL can't be read: .*percent-encoded/)
        assert.notInclude(error.message, "hunter2")
      }
    })
  )
})

/** `src/Http/Clients.ts`. */
import { assert, test } from "vitest"
import { HttpServerRequest } from "effect/http"
import { Option } from "effect"
import * as Clients from "../../src/Http/Clients.ts"

const request = (remote: string | undefined, forwarded?: string) =>
  HttpServerRequest.fromWeb(
    new Request("http://localhost/", { headers: forwarded === undefined ? {} : { "x-forwarded-for": forwarded } })
  ).modify({ remoteAddress: Option.fromUndefinedOr(remote) })

test("A client's address is that of its connection, or what a proxy in front has added", () => {
  for (const [remote, forwarded, expected] of [
    ["203.0.113.7", undefined, "203.0.113.7"],
    ["203.0.113.7", "198.51.100.1", "203.0.113.7"],
    ["::ffff:203.0.113.7", undefined, "203.0.113.7"],
    ["127.0.0.1", "198.51.100.1", "198.51.100.1"],
    ["::ffff:10.1.2.3", "1.2.3.4, 198.51.100.1", "198.51.100.1"],
    ["192.168.1.1", "no address", "192.168.1.1"],
    ["172.16.0.9", "2001:db8:0:1:2:3:4:5", "2001:db8:0:1"],
    ["2001:0db8:0000:0001::9", undefined, "2001:db8:0:1"],
    ["2001:db8::9", undefined, "2001:db8:0:0"],
    ["::1", undefined, "0:0:0:0"],
    [undefined, "198.51.100.1", ""]
  ] as const)
    assert.strictEqual(Clients.addressOf(request(remote, forwarded)), expected)
})

test("A rate allows a burst of a minute, and then one action at a time, for each key", () => {
  let now = 1_000_000
  const rate = new Clients.Rate(60, () => now)
  for (let n = 0; n < 60; n++) assert.strictEqual(rate.take("a"), 0)
  assert.strictEqual(rate.take("a"), 1_000)
  assert.strictEqual(rate.take("b"), 0)
  now += 400
  assert.strictEqual(rate.take("a"), 600)
  now += 600
  assert.strictEqual(rate.take("a"), 0)
  assert.strictEqual(rate.take("a"), 1_000)
  now += 60_000
  for (let n = 0; n < 60; n++) assert.strictEqual(rate.take("a"), 0)
})

test("A rate forgets the key that acted longest ago when it has 10,000", () => {
  const rate = new Clients.Rate(1, () => 0)
  assert.strictEqual(rate.take("first"), 0)
  for (let n = 0; n < 9_999; n++) rate.take(`key ${n}`)
  assert.isAbove(rate.take("first"), 0)
  rate.take("one more")
  assert.strictEqual(rate.take("first"), 0)
})

/** `src/Chat/ClientAddress.ts`. */
import { assert, test } from "vitest"
import { HttpServerRequest } from "effect/http"
import { Option } from "effect"
import { clientAddress } from "../../src/Chat/ClientAddress.ts"

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
    assert.strictEqual(clientAddress(request(remote, forwarded)), expected)
})

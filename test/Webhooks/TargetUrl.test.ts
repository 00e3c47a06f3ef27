/** `src/Webhooks/TargetUrl.ts` and `Addresses.ts`: which URLs and addresses webhooks may be sent to. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Option } from "effect"
import * as Addresses from "../../src/Webhooks/Addresses.ts"
import * as TargetUrl from "../../src/Webhooks/TargetUrl.ts"
import * as NameServer from "./support/NameServer.ts"

const strict = { allowHttp: true, networks: [] }

const ruleOf = (text: string, rules: TargetUrl.Rules = strict) =>
  Effect.gen(function* () {
    const url = yield* TargetUrl.parse(text, rules)
    yield* TargetUrl.resolve(TargetUrl.hostOf(url), rules)
    return "accepted"
  }).pipe(Effect.catchTag("UrlRefused", ({ rule }) => Effect.succeed(rule)))

/** One address in each network that is not public, at its bounds, and in the spellings that parsers accept. */
const privateHosts = [
  ..."0.0.0.0 0.255.255.255 10.0.0.0 10.255.255.255 100.64.0.0 100.127.255.255 127.0.0.1 127.255.255.255".split(" "),
  ..."169.254.0.1 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.1 192.0.2.1 192.88.99.1 192.168.0.1".split(" "),
  ..."192.168.255.255 198.18.0.1 198.19.255.255 198.51.100.7 203.0.113.7 224.0.0.1 239.255.255.255".split(" "),
  ..."240.0.0.1 255.255.255.255".split(" "),
  // Decimal, octal, hexadecimal, short, with a trailing dot, percent-encoded, and with full-width digits.
  ..."2130706433 017700000001 0x7f000001 0x7f.1 127.1 127.0.1 0177.0.0.1 0x7f.0x0.0x0.0x1 127.0.0.1. 0 0x0".split(" "),
  ..."%31%32%37.0.0.1 １２７.0.0.1 127。0。0。1 3232235777 0xa9fea9fe 10.1 0xa.1".split(" "),
  ..."[::] [::1] [0:0:0:0:0:0:0:1] [::127.0.0.1] [::ffff:127.0.0.1] [::ffff:7f00:1] [::ffff:10.0.0.1]".split(" "),
  ..."[::ffff:a9fe:a9fe] [64:ff9b::127.0.0.1] [64:ff9b::a00:1] [64:ff9b:1::1] [2002:7f00:1::] [2002:a00:1::1]".split(
    " "
  ),
  ..."[2001::1] [2001:0:1234::1] [2001:10::1] [2001:db8::1] [3fff::1] [fc00::1] [fd12:3456::1] [fe80::1]".split(" "),
  ..."[febf::1] [fec0::1] [ff02::1] [ff0e::1] [100::1] [5f00::1] [4000::1]".split(" ")
]

const publicHosts = [
  ..."1.1.1.1 9.255.255.255 11.0.0.1 100.63.255.255 100.128.0.1 126.255.255.255 128.0.0.1 172.15.255.255".split(" "),
  ..."172.32.0.1 192.0.1.1 192.167.255.255 192.169.0.1 198.17.255.255 198.20.0.1 223.255.255.255 16843009".split(" "),
  ..."[2606:4700::1111] [2a00:1450::1] [::ffff:1.1.1.1] [64:ff9b::1.1.1.1]".split(" ")
]

describe("addresses", () => {
  it.effect.each(privateHosts)("refuses %s", (host) =>
    Effect.gen(function* () {
      assert.strictEqual(yield* ruleOf(`http://${host}/hook`), "address")
    })
  )

  it.effect.each(publicHosts)("accepts %s", (host) =>
    Effect.gen(function* () {
      assert.strictEqual(yield* ruleOf(`http://${host}/hook`), "accepted")
    })
  )

  it.effect("accepts the addresses of the operator's networks, in any spelling", () =>
    Effect.gen(function* () {
      const rules = { allowHttp: true, networks: Addresses.allowedNetworks(Option.some("10.1.0.0/16,fd00::/8")) }
      for (const host of ["10.1.2.3", "[::ffff:10.1.2.3]", "[fd00::1]"])
        assert.strictEqual(yield* ruleOf(`http://${host}/`, rules), "accepted", host)
      for (const host of ["10.2.0.1", "127.0.0.1", "[fc00::1]"])
        assert.strictEqual(yield* ruleOf(`http://${host}/`, rules), "address", host)
    })
  )
})

describe("URLs", () => {
  const cases: ReadonlyArray<readonly [string, string]> = [
    ["", "syntax"],
    ["/hook", "syntax"],
    ["https://", "syntax"],
    ["https://[fe80::1%25eth0]/", "syntax"],
    ["https://exa mple.org/", "syntax"],
    ["https://127.0.0.1.5/", "syntax"],
    ["ftp://1.1.1.1/", "scheme"],
    ["file:///etc/passwd", "scheme"],
    ["ws://1.1.1.1/", "scheme"],
    ["javascript:alert(1)", "scheme"],
    ["https://user@1.1.1.1/", "credentials"],
    ["https://user:secret@1.1.1.1/", "credentials"],
    ["https://:secret@1.1.1.1/", "credentials"],
    ["https://1.1.1.1:22/", "port"],
    ["https://1.1.1.1:1023/", "port"],
    ["https://1.1.1.1:0/", "port"],
    [`https://1.1.1.1/${"x".repeat(2_048)}`, "length"],
    ["https://1.1.1.1:80/", "accepted"],
    ["https://1.1.1.1:443/", "accepted"],
    ["https://1.1.1.1:1024/", "accepted"],
    ["HTTPS://1.1.1.1/%2e%2e/hook?a=b#c", "accepted"]
  ]
  it.effect.each(cases)("answers %s with %s", ([text, rule]) =>
    Effect.gen(function* () {
      assert.strictEqual(yield* ruleOf(text), rule)
    })
  )

  it.effect("accepts http: only where it is allowed", () =>
    Effect.gen(function* () {
      const rules = { ...strict, allowHttp: false }
      assert.strictEqual(yield* ruleOf("http://1.1.1.1/", rules), "scheme")
      assert.strictEqual(yield* ruleOf("https://1.1.1.1/", rules), "accepted")
    })
  )
})

describe("names", () => {
  it.live("refuses names of the machine itself, asking the system's resolver", () =>
    Effect.gen(function* () {
      for (const host of ["localhost", "LOCALHOST", "ⓛocalhost"])
        assert.strictEqual(yield* ruleOf(`https://${host}/`), "address", host)
      // Not every resolver knows it in this form.
      assert.include(["address", "host"], yield* ruleOf("https://localhost./"))
    })
  )

  it.live("refuses a name with one address that is not public, whatever its other addresses", () =>
    Effect.gen(function* () {
      const names: Readonly<Record<string, ReadonlyArray<string>>> = {
        "public.test": ["1.1.1.1", "2606:4700::1111"],
        "inside.test": ["10.0.0.1"],
        "mixed.test": ["1.1.1.1", "127.0.0.1"],
        "six.test": ["1.1.1.1", "fd00::1"],
        "mapped.test": ["::ffff:7f00:1"],
        "xn--bcher-kva.test": ["169.254.169.254"]
      }
      const lookup = yield* NameServer.start((name) => names[name] ?? [])
      const ask = (host: string) => Effect.provideService(ruleOf(`https://${host}/`), TargetUrl.HostLookup, lookup)
      assert.strictEqual(yield* ask("public.test"), "accepted")
      for (const host of ["inside.test", "mixed.test", "six.test", "mapped.test", "bücher.test", "INSIDE.test"])
        assert.strictEqual(yield* ask(host), "address", host)
      assert.strictEqual(yield* ask("absent.test"), "host")
    })
  )

  it.live("says why, and which address", () =>
    Effect.gen(function* () {
      const lookup = yield* NameServer.start(() => ["10.0.0.1"])
      const exit = yield* Effect.exit(
        Effect.provideService(TargetUrl.resolve("inside.test", strict), TargetUrl.HostLookup, lookup)
      )
      const error = Option.getOrThrow(Exit.findErrorOption(exit))
      assert.strictEqual(error.message, "inside.test resolves to 10.0.0.1, which is not a public address")
    })
  )
})

/** A DNS server on loopback, for names that a test gives addresses to, and a lookup that asks it. */
import { createSocket } from "node:dgram"
import { Resolver } from "node:dns"
import { isIPv4 } from "node:net"
import { Effect } from "effect"
import type * as TargetUrl from "../../../src/Webhooks/TargetUrl.ts"

const types = { A: 1, AAAA: 28 } as const

const bytesOf = (address: string): Buffer => {
  if (isIPv4(address)) return Buffer.from(address.split(".").map(Number))
  const [head = "", tail = ""] = address.split("::")
  const groups = (text: string) => text.split(":").filter((group) => group !== "")
  const missing = 8 - groups(head).length - groups(tail).length
  const all = [
    ...groups(head),
    ...Array.from({ length: address.includes("::") ? missing : 0 }, () => "0"),
    ...groups(tail)
  ]
  return Buffer.from(all.map((group) => group.padStart(4, "0")).join(""), "hex")
}

/** `addresses` is asked for each query; a name without any does not exist. */
export const start = (addresses: (name: string) => ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const socket = yield* Effect.acquireRelease(
      Effect.callback<ReturnType<typeof createSocket>>((resume) => {
        const opened = createSocket("udp4")
        opened.bind(0, "127.0.0.1", () => resume(Effect.succeed(opened)))
      }),
      (opened) => Effect.callback<void>((resume) => void opened.close(() => resume(Effect.void)))
    )
    socket.on("message", (query, { address, port }) => {
      const labels: Array<string> = []
      let at = 12
      for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
        labels.push(query.subarray(at + 1, at + 1 + length).toString())
        at += 1 + length
      }
      const type = query.readUInt16BE(at + 1)
      const found = addresses(labels.join("."))
      const matching = found.filter((each) => type === (isIPv4(each) ? types.A : types.AAAA))
      const answers = matching.map((each) => {
        const bytes = bytesOf(each)
        const head = Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 0, 0, bytes.length])
        return Buffer.concat([head, bytes])
      })
      const head = Buffer.alloc(12)
      query.copy(head, 0, 0, 2)
      head.writeUInt16BE(found.length === 0 ? 0x8183 : 0x8180, 2)
      head.writeUInt16BE(1, 4)
      head.writeUInt16BE(answers.length, 6)
      socket.send(Buffer.concat([head, query.subarray(12, at + 5), ...answers]), port, address)
    })
    const resolver = new Resolver({ timeout: 2_000, tries: 1 })
    resolver.setServers([`127.0.0.1:${socket.address().port}`])
    const lookup: TargetUrl.Lookup = (host, done) =>
      resolver.resolve4(host, (error4, four = []) =>
        resolver.resolve6(host, (_error6, six = []) => {
          const all = [
            ...four.map((each) => ({ address: each, family: 4 })),
            ...six.map((each) => ({ address: each, family: 6 }))
          ]
          done(all.length > 0 ? null : error4, all)
        })
      )
    return lookup
  })

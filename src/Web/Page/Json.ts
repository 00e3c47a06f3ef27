/** Reads what the server answers into types, without believing it. */

/** Answers the value, or throws what is wrong with it. */
export type Reader<A> = (value: unknown, at: string) => A

/** What a reader reads. */
export type Read<R> = R extends Reader<infer A> ? A : never

const wrong = (at: string, expected: string): never => {
  throw new TypeError(`The server's answer is not as expected: ${at} is not ${expected}.`)
}

export const text: Reader<string> = (value, at) => (typeof value === "string" ? value : wrong(at, "a text"))
export const number: Reader<number> = (value, at) => (typeof value === "number" ? value : wrong(at, "a number"))
export const flag: Reader<boolean> = (value, at) => (typeof value === "boolean" ? value : wrong(at, "true or false"))

export function nullable<A>(reader: Reader<A>): Reader<A | null> {
  return (value, at) => (value === null ? null : reader(value, at))
}

export function list<A>(reader: Reader<A>): Reader<ReadonlyArray<A>> {
  return (value, at) =>
    Array.isArray(value) ? value.map((item: unknown, index) => reader(item, `${at}[${index}]`)) : wrong(at, "a list")
}

export const pair: Reader<readonly [number, number]> = (value, at) => {
  const [from, to] = list(number)(value, at)
  return from === undefined || to === undefined ? wrong(at, "two numbers") : [from, to]
}

type Shape = Readonly<Record<string, Reader<unknown>>>

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null

export function record<const S extends Shape>(shape: S): Reader<{ readonly [K in keyof S]: Read<S[K]> }>
export function record(shape: Shape): Reader<unknown> {
  return (value, at) =>
    isRecord(value)
      ? Object.fromEntries(Object.entries(shape).map(([name, reader]) => [name, reader(value[name], `${at}.${name}`)]))
      : wrong(at, "an object")
}

export function parse<A>(reader: Reader<A>, json: string): A {
  const value: unknown = JSON.parse(json)
  return reader(value, "it")
}

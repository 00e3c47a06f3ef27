/** Decoders for the server's JSON, which check each value. */

/** Returns the typed value, or throws an error that names the path `at` and the expected type. */
export type Decoder<A> = (value: unknown, at: string) => A

export type Decoded<R> = R extends Decoder<infer A> ? A : never

const wrong = (at: string, expected: string): never => {
  throw new TypeError(`The server's answer is not as expected: ${at} is not ${expected}.`)
}

export const text: Decoder<string> = (value, at) => (typeof value === "string" ? value : wrong(at, "a text"))
export const number: Decoder<number> = (value, at) => (typeof value === "number" ? value : wrong(at, "a number"))
export const flag: Decoder<boolean> = (value, at) => (typeof value === "boolean" ? value : wrong(at, "true or false"))

export function nullable<A>(decoder: Decoder<A>): Decoder<A | null> {
  return (value, at) => (value === null ? null : decoder(value, at))
}

export function optional<A>(decoder: Decoder<A>): Decoder<A | undefined> {
  return (value, at) => (value === undefined ? undefined : decoder(value, at))
}

/** Undefined unless the value has the type: for fields that devices choose. */
export function lenient<A>(decoder: Decoder<A>): Decoder<A | undefined> {
  return (value, at) => {
    try {
      return decoder(value, at)
    } catch {
      return undefined
    }
  }
}

export function list<A>(decoder: Decoder<A>): Decoder<ReadonlyArray<A>> {
  return (value, at) =>
    Array.isArray(value) ? value.map((item: unknown, index) => decoder(item, `${at}[${index}]`)) : wrong(at, "a list")
}

export const pair: Decoder<readonly [number, number]> = (value, at) => {
  const [from, to] = list(number)(value, at)
  return from === undefined || to === undefined ? wrong(at, "two numbers") : [from, to]
}

type Shape = Readonly<Record<string, Decoder<unknown>>>

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null

export function record<const S extends Shape>(shape: S): Decoder<{ readonly [K in keyof S]: Decoded<S[K]> }>
export function record(shape: Shape): Decoder<unknown> {
  return (value, at) =>
    isRecord(value)
      ? Object.fromEntries(
          Object.entries(shape).map(([name, decoder]) => [name, decoder(value[name], `${at}.${name}`)])
        )
      : wrong(at, "an object")
}

export function parse<A>(decoder: Decoder<A>, json: string): A {
  const value: unknown = JSON.parse(json)
  return decoder(value, "it")
}

/** The request header `Range` (RFC 9110, section 14.2). */

/** Bytes `start` to `end`, `end` not included. */
interface Range {
  readonly start: number
  readonly end: number
}

/** `whole`: the header asks for nothing that is answered in part. */
export type Asked = "whole" | "unsatisfiable" | Range

/** Positions that are too large for an exact number lie far beyond every end all the same. */
const position = (digits: string): number => Math.min(Number(digits), Number.MAX_SAFE_INTEGER)

const form = /^(?:(\d+)-(\d*)|-(\d+))$/

/**
 * The bytes of `size` that are asked for: of the forms `a-b`, `a-` and `-n` one is answered. Several ranges, other units and
 * what does not parse are ignored, as the RFC allows and demands.
 */
export function byteRange(header: string | undefined, size: number): Asked {
  const set = /^bytes=(.*)$/i.exec(header ?? "")?.[1] ?? ""
  const [range, ...others] = set
    .split(",")
    .map((each) => each.trim())
    .filter((each) => each !== "")
  const [, first, last, suffix] = form.exec(range ?? "") ?? []
  if (others.length > 0) return "whole"
  if (suffix !== undefined) {
    const length = Math.min(position(suffix), size)
    return length === 0 ? "unsatisfiable" : { start: size - length, end: size }
  }
  if (first === undefined) return "whole"
  const start = position(first)
  const end = last === undefined || last === "" ? Infinity : position(last) + 1
  if (end <= start) return "whole"
  return start >= size ? "unsatisfiable" : { start, end: Math.min(end, size) }
}

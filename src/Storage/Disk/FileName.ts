/**
 * Encodes keys as file names. Objects end in `=` and directories do not, so `a` and `a/b` can both be objects. Capitals
 * become lower case with a suffix of their positions, so names also differ on case-insensitive file systems.
 */
import { Option } from "effect"

/** The directory of temporary files. No segment encodes to this name. */
export const unfinishedDirectory = "~tmp"

/** Characters of the segment per character of the suffix: bit 16 is the first of them, bit 1 the last. */
const group = 5

const capitals = (segment: string): string => {
  let flags = ""
  for (let at = 0; at < segment.length; at += group) {
    let bits = 0
    for (let i = at; i < at + group; i++) bits = bits * 2 + (/^[A-Z]$/.test(segment.charAt(i)) ? 1 : 0)
    flags += bits.toString(2 ** group)
  }
  return flags.replace(/0+$/, "")
}

const encode = (segment: string): string => {
  const small = segment.toLowerCase()
  return small === segment ? segment : `${small}+${capitals(segment)}`
}

const decode = (name: string): Option.Option<string> => {
  const [small = "", flags = ""] = name.split("+")
  const segment = Array.from(small, (character, i) => {
    const bits = Number.parseInt(flags.charAt(Math.trunc(i / group)) || "0", 2 ** group)
    return (bits & (2 ** (group - 1 - (i % group)))) === 0 ? character : character.toUpperCase()
  }).join("")
  return /^[A-Za-z0-9._-]+$/.test(segment) && encode(segment) === name ? Option.some(segment) : Option.none()
}

/** The directory of all keys under `prefix` (which is empty or ends in `/`), relative to the root. */
export function directoryOf(prefix: string): string {
  return prefix.split("/").slice(0, -1).map(encode).join("/")
}

/** The file of a key, relative to the root. */
export function fileOf(key: string): string {
  return `${key.split("/").map(encode).join("/")}=`
}

/** Decodes a directory entry: an object, or a directory of the keys under `segment/`. None for foreign files. */
export function parse(name: string): Option.Option<{ readonly segment: string; readonly isObject: boolean }> {
  const isObject = name.endsWith("=")
  return Option.map(decode(isObject ? name.slice(0, -1) : name), (segment) => ({ segment, isObject }))
}

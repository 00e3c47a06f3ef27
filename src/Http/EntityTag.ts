/** Comparisons of entity tags (RFC 9110, sections 8.8.3 and 13.1). */

/** Tags of a list such as `"a", W/"b"`. A tag can contain commas. */
const tags = (list: string): ReadonlyArray<string> => list.match(/(?:W\/)?"[^"]*"/g) ?? []

/** `If-None-Match`: `*`, or a list that contains the tag, by weak comparison. */
export function isNoneMatch(header: string | undefined, etag: string): boolean {
  return (
    header === undefined || !(header.trim() === "*" || tags(header).some((tag) => tag.replace(/^W\//, "") === etag))
  )
}

/** `If-Match`: `*`, or a list that contains the strong tag. */
export function isMatch(header: string | undefined, etag: string): boolean {
  return header === undefined || header.trim() === "*" || tags(header).includes(etag)
}

/** `If-Range`: the strong tag. Dates never match: there is no `Last-Modified`. */
export function isSameRange(header: string | undefined, etag: string): boolean {
  return header === undefined || header.trim() === etag
}

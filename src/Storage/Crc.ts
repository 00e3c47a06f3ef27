/** The CRC32C of bytes that are not all at hand, from those of their parts. */

/** Castagnoli's polynomial, its lowest bit first. */
const polynomial = 0x82f6_3b78

/** A linear map of 32 bits: what it makes of each of them. */
type Matrix = ReadonlyArray<number>

const apply = (matrix: Matrix, vector: number): number => {
  let sum = 0
  for (let rest = vector, bit = 0; rest !== 0; rest >>>= 1, bit++) {
    if ((rest & 1) === 1) sum ^= matrix[bit] ?? 0
  }
  return sum >>> 0
}

const twice = (matrix: Matrix): Matrix => matrix.map((column) => apply(matrix, column))

/** What one zero byte makes of a sum. */
const zeroByte: Matrix = twice(
  twice(twice(Array.from({ length: 32 }, (_, bit) => (bit === 0 ? polynomial : (1 << (bit - 1)) >>> 0))))
)

/** The sum of some bytes followed by others: from both sums, and how many the others are. */
export function join(first: number, second: number, secondSize: number): number {
  let sum = first
  let zeros = zeroByte
  for (let rest = secondSize; rest > 0; rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) sum = apply(zeros, sum)
    zeros = twice(zeros)
  }
  return (sum ^ second) >>> 0
}

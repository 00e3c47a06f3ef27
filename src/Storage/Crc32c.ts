/** Arithmetic on CRC32C checksums. */

/** Castagnoli's polynomial, bit-reversed. */
const polynomial = 0x82f6_3b78

/** A linear map over 32 bits: the image of each bit. */
type Matrix = ReadonlyArray<number>

const apply = (matrix: Matrix, vector: number): number => {
  let sum = 0
  for (let rest = vector, bit = 0; rest !== 0; rest >>>= 1, bit++) {
    if ((rest & 1) === 1) sum ^= matrix[bit] ?? 0
  }
  return sum >>> 0
}

const twice = (matrix: Matrix): Matrix => matrix.map((column) => apply(matrix, column))

/** The effect of one zero byte on a CRC. */
const zeroByte: Matrix = twice(
  twice(twice(Array.from({ length: 32 }, (_, bit) => (bit === 0 ? polynomial : (1 << (bit - 1)) >>> 0))))
)

/** The CRC32C of adjacent parts, without their bytes, as zlib's `crc32_combine` computes it. */
export function join(first: number, second: number, secondSize: number): number {
  let sum = first
  let zeros = zeroByte
  for (let rest = secondSize; rest > 0; rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) sum = apply(zeros, sum)
    zeros = twice(zeros)
  }
  return (sum ^ second) >>> 0
}

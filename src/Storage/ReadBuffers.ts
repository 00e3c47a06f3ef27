/**
 * Buffers that are read into again and again. A new buffer for each piece of a long download counts as garbage of the whole
 * process: the collector then ran after every 18 MB, for a third of the time.
 */

/** Bound of the idle bytes. Buffers beyond it are left to the garbage collector. */
const maxIdleBytes = 8 * 1024 * 1024

/** Smaller buffers are not kept: making them costs less than a long search. */
const minBytes = 32 * 1024

const idle: Array<ArrayBuffer> = []
let idleBytes = 0
/** Buffers in use, with the length that was taken. Not kept alive by this map. */
const taken = new WeakMap<ArrayBufferLike, number>()

/** A buffer of this length, with any content. It need not be given back. */
export function take(length: number): Uint8Array<ArrayBuffer> {
  if (length < minBytes) return new Uint8Array(length)
  const found = idle.findLastIndex((buffer) => buffer.byteLength >= length)
  const [buffer = Buffer.allocUnsafeSlow(length).buffer] = found === -1 ? [] : idle.splice(found, 1)
  if (found !== -1) idleBytes -= buffer.byteLength
  taken.set(buffer, length)
  return new Uint8Array(buffer, 0, length)
}

/** The caller has the last reference to the whole of what was taken. Bytes of another origin are ignored. */
export function giveBack({ buffer, length }: Uint8Array): void {
  if (taken.get(buffer) !== length || !(buffer instanceof ArrayBuffer)) return
  taken.delete(buffer)
  if (idleBytes + buffer.byteLength > maxIdleBytes) return
  idle.push(buffer)
  idleBytes += buffer.byteLength
}

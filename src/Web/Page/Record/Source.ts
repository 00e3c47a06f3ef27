/** Audio to send. Samples count from 0; a live source still grows. */

export interface Source {
  readonly sampleRate: number
  readonly end: number
  readonly ended: boolean
  /** Converts a sample to Unix seconds. */
  timeOf(sample: number): number
  /** First sample after `from` that follows a gap in time, or Infinity. */
  breakAfter(from: number): number
  /** PCM16 of samples that are not released. */
  read(from: number, to: number): Promise<Uint8Array>
  /** Frees the samples before this one; they are never read again. */
  release(sample: number): void
}

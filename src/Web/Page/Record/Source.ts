/** Audio that is to be sent: samples counted from 0, some of which may still come. */

export interface Source {
  readonly sampleRate: number
  /** Samples that there are. */
  readonly end: number
  /** No more will come. */
  readonly ended: boolean
  /** Unix seconds of a sample. */
  timeOf(sample: number): number
  /** The sample at a unix second. */
  sampleAt(time: number): number
  /** The next sample after `from` that does not follow on the one before it in time; Infinity if there is none. */
  breakAfter(from: number): number
  /** PCM16 of samples that were not released. */
  read(from: number, to: number): Promise<Uint8Array>
  /** What is before this sample will not be asked for again. */
  release(sample: number): void
}

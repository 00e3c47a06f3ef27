/** A map with a bound: one more entry evicts the one that was set longest ago. */
export class BoundedMap<V> {
  readonly #bound: number
  readonly #entries = new Map<string, V>()

  constructor(bound: number) {
    this.#bound = bound
  }

  get size(): number {
    return this.#entries.size
  }

  get values(): Iterable<V> {
    return this.#entries.values()
  }

  /** Does not change what is evicted next. A cache that evicts the least recently used sets what it reads. */
  get(key: string): V | undefined {
    return this.#entries.get(key)
  }

  set(key: string, value: V): void {
    this.#entries.delete(key)
    this.#entries.set(key, value)
    const [oldest] = this.#entries.size > this.#bound ? this.#entries.keys() : []
    if (oldest !== undefined) this.#entries.delete(oldest)
  }

  delete(key: string): void {
    this.#entries.delete(key)
  }
}

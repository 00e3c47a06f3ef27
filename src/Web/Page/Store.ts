/** A value that is watched. */
import { useEffect, useState } from "preact/hooks"

export class Store<A> {
  #value: A
  readonly #watchers = new Set<() => void>()

  constructor(value: A) {
    this.#value = value
  }

  get value(): A {
    return this.#value
  }

  set(value: A): void {
    if (value === this.#value) return
    this.#value = value
    for (const watcher of this.#watchers) watcher()
  }

  update(change: Partial<A>): void {
    this.set({ ...this.#value, ...change })
  }

  watch(watcher: () => void): () => void {
    this.#watchers.add(watcher)
    return () => this.#watchers.delete(watcher)
  }
}

/** The value, and again whenever it changes. */
export const useStore = <A>(store: Store<A>): A => {
  const [, again] = useState(0)
  useEffect(() => {
    again((count) => count + 1)
    return store.watch(() => again((count) => count + 1))
  }, [store])
  return store.value
}

/** An observable value. */
import { useEffect, useRef, useState } from "preact/hooks"

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

/** Selects a part of the value; rerenders when that part changes. */
export function useSelected<A, B>(store: Store<A>, select: (value: A) => B): B {
  const [, again] = useState(0)
  const selected = select(store.value)
  const latest = useRef({ select, selected })
  latest.current = { select, selected }
  useEffect(() => {
    const look = () => {
      const { select, selected } = latest.current
      if (select(store.value) !== selected) again((count) => count + 1)
    }
    look()
    return store.watch(look)
  }, [store])
  return selected
}

export function useStore<A>(store: Store<A>): A {
  return useSelected(store, (value) => value)
}

/** A view of what a user has created: its title, the form that creates one more, the latest outcome, and the list. */
import type { ComponentChildren } from "preact"
import { useEffect, useRef, useState } from "preact/hooks"
import { Outcome } from "../Outcome.tsx"

export function ManagedView({
  children,
  count,
  createLabel,
  emptyHint,
  follow,
  form,
  formLabel,
  name,
  outcome,
  secret,
  title
}: {
  /** The class of the view. The id of its title is `NAME-title`. */
  readonly name: string
  readonly title: string
  readonly createLabel: string
  readonly formLabel: string
  /** `isDone` false: it was cancelled. Otherwise a new secret takes the focus. */
  readonly form: (onClose: (isDone: boolean) => void) => ComponentChildren
  /** How many are shown; undefined before they are read. */
  readonly count: number | undefined
  readonly emptyHint: string
  readonly outcome: Required<Outcome>
  /** A new secret. */
  readonly secret: ComponentChildren
  /** Keeps the list up to date until the signal aborts. */
  readonly follow: (stop: AbortSignal) => Promise<void>
  readonly children: ComponentChildren
}) {
  const [isCreating, setCreating] = useState(false)
  const heading = useRef<HTMLHeadingElement>(null)
  useEffect(() => {
    const stop = new AbortController()
    heading.current?.focus()
    void follow(stop.signal)
    return () => stop.abort()
  }, [])
  return (
    <div class={name}>
      <div class="row">
        <h2 id={`${name}-title`} ref={heading} tabIndex={-1}>
          {title}
        </h2>
        {count !== undefined && !isCreating && (
          <button type="button" class="primary" onClick={() => setCreating(true)}>
            {createLabel}
          </button>
        )}
      </div>
      <Outcome {...outcome} />
      {secret}
      {isCreating && (
        <section class="card" aria-label={formLabel}>
          {form((isDone) => {
            setCreating(false)
            if (!isDone) heading.current?.focus()
          })}
        </section>
      )}
      {count === undefined && outcome.message === "" && <p class="hint">Waiting for the server …</p>}
      {count === 0 && !isCreating && <p class="hint">{emptyHint}</p>}
      {children}
    </div>
  )
}

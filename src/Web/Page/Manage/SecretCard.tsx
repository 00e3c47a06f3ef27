/** A secret that the server returns only once. */
import type { ComponentChildren } from "preact"
import { useEffect, useRef } from "preact/hooks"
import { CopyButton } from "../List/CopyButton.tsx"

export function SecretCard({
  children,
  copyLabel,
  onDone,
  secret,
  title
}: {
  readonly title: string
  readonly secret: string
  readonly copyLabel: string
  /** Between the title and the buttons, the secret included. */
  readonly children: ComponentChildren
  readonly onDone: () => void
}) {
  const heading = useRef<HTMLHeadingElement>(null)
  useEffect(() => heading.current?.focus(), [secret])
  return (
    <section class="card new-secret" aria-labelledby="secret-title">
      <h3 id="secret-title" ref={heading} tabIndex={-1}>
        {title}
      </h3>
      {children}
      <div class="row">
        <CopyButton label={copyLabel} text={() => Promise.resolve(secret)} />
        <button type="button" class="quiet" onClick={onDone}>
          Done
        </button>
      </div>
    </section>
  )
}

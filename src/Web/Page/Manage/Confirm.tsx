/** A button that asks before it acts. Escape and "Cancel" take it back; focus follows. */
import { useLayoutEffect, useRef, useState } from "preact/hooks"

export function Confirm({
  action,
  label,
  name,
  onConfirm,
  question
}: {
  readonly label: string
  /** What the button acts on, for screen readers. */
  readonly name: string
  readonly question: string
  /** Label of the button that confirms. */
  readonly action: string
  readonly onConfirm: () => void
}) {
  const [isAsking, setAsking] = useState(false)
  const wasAsking = useRef(false)
  const button = useRef<HTMLButtonElement>(null)
  useLayoutEffect(() => {
    if (isAsking !== wasAsking.current) button.current?.focus()
    wasAsking.current = isAsking
  }, [isAsking])
  if (!isAsking)
    return (
      <button
        ref={button}
        key="ask"
        type="button"
        class="quiet"
        aria-label={`${label} ${name}`}
        onClick={() => setAsking(true)}
      >
        {label}
      </button>
    )
  return (
    <div
      class="confirm"
      role="group"
      aria-label={question}
      onKeyDown={(event) => {
        if (event.key === "Escape") setAsking(false)
      }}
    >
      <p>{question}</p>
      <div class="row">
        <button
          type="button"
          class="quiet danger"
          onClick={() => {
            setAsking(false)
            onConfirm()
          }}
        >
          {action}
        </button>
        <button ref={button} key="cancel" type="button" class="quiet" onClick={() => setAsking(false)}>
          Cancel
        </button>
      </div>
    </div>
  )
}

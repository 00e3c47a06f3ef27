/** Sends the deliveries of a time range again: counts them first, then asks. */
import { useEffect, useRef, useState } from "preact/hooks"
import { Alert } from "../Outcome.tsx"
import { messageFor } from "../Server.ts"
import * as Log from "./Log.ts"
import { counted, localTime, rangeOf, type RangeForm, replayable, replaying } from "./Wording.ts"

const dayMillis = 86_400_000

const lastDay = (): RangeForm => {
  const now = Date.now()
  return { from: localTime(new Date(now - dayMillis)), to: localTime(new Date(now)), states: "dead" }
}

export function ReplayRange({ canReplay }: { readonly canReplay: boolean }) {
  const [form, setForm] = useState(lastDay)
  const [isBusy, setBusy] = useState(false)
  /** Deliveries that the server has counted for this form; 0 before it has. */
  const [found, setFound] = useState(0)
  const [message, setMessage] = useState("")
  const [problem, setProblem] = useState("")
  const confirm = useRef<HTMLButtonElement>(null)
  useEffect(() => {
    if (found > 0) confirm.current?.focus()
  }, [found])
  const say = (message: string, problem = "") => {
    setMessage(message)
    setProblem(problem)
    setFound(0)
  }
  const change = (changed: Partial<RangeForm>) => {
    setForm({ ...form, ...changed })
    say("")
  }
  const run = async (isDry: boolean) => {
    const range = rangeOf(form)
    say("", typeof range === "string" ? range : "")
    if (typeof range === "string") return
    setBusy(true)
    try {
      const replayed = await Log.replayRange(range, isDry)
      setMessage(isDry ? counted(replayed) : replaying(replayed))
      setFound(isDry ? replayed.deliveries : 0)
    } catch (cause) {
      setProblem(messageFor(cause))
    } finally {
      setBusy(false)
    }
  }
  const time = (name: "from" | "to", label: string) => (
    <p>
      <label for={`replay-${name}`}>{label}</label>
      <input
        id={`replay-${name}`}
        type="datetime-local"
        value={form[name]}
        onInput={(event) => change({ [name]: event.currentTarget.value })}
      />
    </p>
  )
  return (
    <details class="replay-range">
      <summary>Replay a range</summary>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          void run(true)
        }}
      >
        {time("from", "From")}
        {time("to", "To")}
        <p>
          <label for="replay-states">Deliveries</label>
          <select
            id="replay-states"
            value={form.states}
            onChange={(event) => change({ states: event.currentTarget.value })}
          >
            {replayable.map(([states, title]) => (
              <option key={states} value={states}>
                {title}
              </option>
            ))}
          </select>
        </p>
        <button type="submit" class="quiet" disabled={isBusy || !canReplay}>
          Count
        </button>
      </form>
      <div class="row">
        <p role="status">{message}</p>
        {found > 0 && (
          <>
            <button ref={confirm} type="button" class="quiet" disabled={isBusy} onClick={() => void run(false)}>
              Send {found} again
            </button>
            <button type="button" class="quiet" onClick={() => say("")}>
              Cancel
            </button>
          </>
        )}
      </div>
      <Alert>{problem}</Alert>
    </details>
  )
}

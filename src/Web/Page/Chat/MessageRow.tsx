/** A message, and what the reader may do about it. */
import { useEffect, useRef, useState } from "preact/hooks"
import { moment, time } from "../Format.ts"
import { Alert } from "../Outcome.tsx"
import { change, changeJson, messageFor } from "../Server.ts"
import * as Model from "./Model.ts"

const timeouts = [
  { seconds: 60, title: "1 minute" },
  { seconds: 600, title: "10 minutes" },
  { seconds: 3_600, title: "1 hour" },
  { seconds: 86_400, title: "1 day" }
] as const

/** Whether the reader may do anything about the message. */
const mayAct = (you: Model.You | undefined, { uid }: Model.Message): boolean =>
  you !== undefined &&
  (uid === you.uid || ["delete", "timeout", "ban"].some((permission) => you.permissions.includes(permission)))

const Actions = ({
  message: { id, uid },
  onClose,
  onDone,
  slug,
  you
}: {
  readonly slug: string
  readonly message: Model.Message
  readonly you: Model.You
  /** Closes the actions. */
  readonly onClose: () => void
  /** Announces what was done. */
  readonly onDone: (done: string) => void
}) => {
  const [seconds, setSeconds] = useState<number>(timeouts[1].seconds)
  const [reason, setReason] = useState("")
  const [problem, setProblem] = useState("")
  const isOther = uid !== you.uid
  const may = (permission: string) => you.permissions.includes(permission)
  const act = async (done: string, action: () => Promise<unknown>) => {
    setProblem("")
    try {
      await action()
      onClose()
      onDone(done)
    } catch (cause) {
      setProblem(messageFor(cause))
    }
  }
  const sanction = (json: object) =>
    changeJson(Model.sanction, "PUT", `${Model.pathOf(slug)}/bans/${encodeURIComponent(uid)}`, { ...json, reason })
  const group = useRef<HTMLDivElement>(null)
  useEffect(() => group.current?.scrollIntoView({ block: "nearest" }), [])
  return (
    <div ref={group} class="moderate" role="group" aria-label={`Actions for this message of ${uid}`}>
      {(!isOther || may("delete")) && (
        <button
          type="button"
          class="quiet"
          onClick={() =>
            void act("The message was deleted.", () => change("DELETE", `${Model.pathOf(slug)}/messages/${id}`))
          }
        >
          Delete message
        </button>
      )}
      {isOther && (may("timeout") || may("ban")) && (
        <label>
          Reason, for {uid}{" "}
          <input value={reason} maxLength={200} onInput={(event) => setReason(event.currentTarget.value)} />
        </label>
      )}
      {isOther && may("timeout") && (
        <div class="row">
          <label>
            Time out for{" "}
            <select value={seconds} onChange={(event) => setSeconds(Number(event.currentTarget.value))}>
              {timeouts.map(({ seconds, title }) => (
                <option key={seconds} value={seconds}>
                  {title}
                </option>
              ))}
            </select>
          </label>
          <button
            type="button"
            class="quiet"
            onClick={() => void act(`${uid} is timed out.`, () => sanction({ seconds }))}
          >
            Time out
          </button>
        </div>
      )}
      {isOther && may("ban") && (
        <button
          type="button"
          class="quiet danger"
          onClick={() => void act(`${uid} is banned from this chat.`, () => sanction({}))}
        >
          Ban {uid}
        </button>
      )}
      <Alert>{problem}</Alert>
    </div>
  )
}

export function MessageRow({
  message,
  onDone,
  slug,
  you
}: {
  readonly slug: string
  readonly message: Model.Message
  readonly you: Model.You | undefined
  readonly onDone: (done: string) => void
}) {
  const [isOpen, setOpen] = useState(false)
  const button = useRef<HTMLButtonElement>(null)
  const close = () => {
    setOpen(false)
    button.current?.focus()
  }
  return (
    <li
      class="message"
      onKeyDown={(event) => {
        if (event.key === "Escape" && isOpen) close()
      }}
    >
      <p>
        <time dateTime={message.created_at} title={moment(message.created_at)}>
          {time(message.created_at)}
        </time>{" "}
        <bdi class={message.uid === you?.uid ? "author own" : "author"}>{message.uid}</bdi>{" "}
        <span class="text" dir="auto">
          {message.text}
        </span>
      </p>
      {mayAct(you, message) && (
        <button
          ref={button}
          type="button"
          class="more"
          aria-expanded={isOpen}
          aria-label={`Actions for this message of ${message.uid}`}
          onClick={() => setOpen(!isOpen)}
        >
          <span aria-hidden="true">⋯</span>
        </button>
      )}
      {isOpen && you !== undefined && (
        <Actions slug={slug} message={message} you={you} onClose={close} onDone={onDone} />
      )}
    </li>
  )
}

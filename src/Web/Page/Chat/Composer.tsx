/** Writes a message, or says why the reader can't. */
import { useEffect, useState } from "preact/hooks"
import { moment } from "../Format.ts"
import { useStore } from "../Store.ts"
import { KeyEntry } from "./KeyEntry.tsx"
import type { ChatRoom, RoomState } from "./ChatRoom.ts"

const maxCharacters = 500
/** From this length on, the remaining characters are shown. */
const nearCharacters = 400

/** Seconds until `at`, unix milliseconds; counts down. */
const useSecondsUntil = (at: number): number => {
  const [now, setNow] = useState(Date.now())
  useEffect(() => {
    setNow(Date.now())
    if (at <= Date.now()) return undefined
    const timer = setInterval(() => {
      setNow(Date.now())
      if (at <= Date.now()) clearInterval(timer)
    }, 250)
    return () => clearInterval(timer)
  }, [at])
  return Math.max(0, Math.ceil((at - now) / 1_000))
}

const Obstacle = ({ room: { isEnabled, sanction }, waits }: { readonly room: RoomState; readonly waits: number }) => {
  if (!isEnabled) return <p class="hint">The chat of this stream is switched off.</p>
  if (sanction === undefined) return null
  const reason = sanction.reason === "" ? "." : `: ${sanction.reason}`
  if (sanction.until === null) return <p class="problem">You are banned from this chat{reason}</p>
  return waits === 0 ? null : (
    <p class="problem">
      You can't write in this chat until {moment(sanction.until)}
      {reason}
    </p>
  )
}

export function Composer({ chat }: { readonly chat: ChatRoom }) {
  const room = useStore(chat.state)
  const { isEnabled, isPosting, link, postAfter, rejected, sanction, slowModeSeconds, you } = room
  const [text, setText] = useState("")
  const until = typeof sanction?.until === "string" ? Date.parse(sanction.until) : 0
  const sanctioned = useSecondsUntil(until)
  const slowed = useSecondsUntil(postAfter)
  const left = maxCharacters - [...text.trim()].length
  useEffect(() => {
    if (rejected !== undefined) setText((text) => (text === "" ? rejected.text : text))
  }, [rejected])
  if (link === "ended") return null
  if (you === undefined) return <KeyEntry purpose="Enter a key to write in the chat" />
  const isSlowed = slowModeSeconds > 0 && you.role === "reader"
  const isBarred = !isEnabled || (sanction !== undefined && (sanction.until === null || sanctioned > 0))
  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault()
        if (text.trim() === "" || left < 0 || isPosting || isBarred || slowed > 0) return
        chat.post(text.trim())
        setText("")
      }}
    >
      <div role="alert">
        <Obstacle room={room} waits={sanctioned} />
        {rejected !== undefined && !isBarred && (postAfter === 0 || slowed > 0) && (
          <p class="problem">{rejected.detail}</p>
        )}
      </div>
      <div class="row">
        <label for="chat-text" class="unseen">
          Message as {you.uid}
        </label>
        <input
          id="chat-text"
          autocomplete="off"
          placeholder={isSlowed ? `Message, one in ${slowModeSeconds} s` : "Message"}
          value={text}
          disabled={isBarred}
          aria-invalid={left < 0}
          aria-describedby="chat-left"
          onInput={(event) => setText(event.currentTarget.value)}
        />
        <button
          type="submit"
          class="primary"
          aria-disabled={isPosting || slowed > 0}
          disabled={isBarred || text.trim() === "" || left < 0}
        >
          {slowed > 0 ? `In ${slowed} s` : isPosting ? "Sending …" : "Send"}
        </button>
      </div>
      <p id="chat-left" class="hint">
        {left < 0
          ? `${-left} characters too many`
          : left <= maxCharacters - nearCharacters
            ? `${left} characters left`
            : ""}
      </p>
    </form>
  )
}

/** The chat of a recording, up to the position that is played. */
import { useEffect, useRef } from "preact/hooks"
import { clock } from "../Format.ts"
import { useStore } from "../Store.ts"
import type { ChatReplay } from "./Replay.ts"

export function ReplayPanel({
  heading: Title,
  replay
}: {
  /** The level of its title. */
  readonly heading: "h2" | "h4"
  readonly replay: ChatReplay
}) {
  const { message, messages } = useStore(replay.state)
  const log = useRef<HTMLDivElement>(null)
  useEffect(() => log.current?.scrollTo(0, log.current.scrollHeight), [messages])
  return (
    <section class="card chat" aria-labelledby="replay-title">
      <Title id="replay-title">Chat of this recording</Title>
      <div ref={log} class="chat-log" role="region" aria-label="Messages up to this moment" tabIndex={0}>
        {messages.length === 0 && <p class="hint">No messages up to this moment.</p>}
        <ol>
          {messages.map(({ id, stream_offset_ms, text, uid }) => (
            <li key={id} class="message">
              <p>
                <span class="at">{clock((stream_offset_ms ?? 0) / 1_000)}</span> <bdi class="author">{uid}</bdi>{" "}
                <span class="text" dir="auto">
                  {text}
                </span>
              </p>
            </li>
          ))}
        </ol>
      </div>
      <div role="status">{message !== "" && <p class="hint">{message}</p>}</div>
    </section>
  )
}

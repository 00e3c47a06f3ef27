/** One conversation in the list, with a play button; expands to its audio files. */
import { useState } from "preact/hooks"
import { Files } from "./Files.tsx"
import type { Conversation } from "../Model.ts"
import { PlayButton } from "../Play/PlayButton.tsx"
import { player } from "../Play/Player.ts"
import { trackOf } from "../Play/Track.ts"
import { RemoveButton } from "./Removals.tsx"
import { useSelected } from "../Store.ts"
import { titleOf } from "./Title.ts"
import { clock, time } from "../Format.ts"

/** A smaller difference between duration and captured audio counts as none. */
const wholeSeconds = 0.05

/** The audio file of the row's play button: the one played last, or the first. */
const fileOf = ({ audio_files: files, id }: Conversation) => {
  const { track } = player.state.value
  return files.find((file) => track?.conversation === id && track.file === file.id) ?? files[0]
}

const detailOf = (conversation: Conversation): string => {
  const { captured_duration: captured, duration, id } = conversation
  const details = [
    ...(duration - captured < wholeSeconds ? [] : [`${clock(captured)} captured in ${clock(duration)}`]),
    ...(titleOf(conversation) === id ? [] : [id])
  ]
  return details.join(" · ")
}

export function ConversationRow({ conversation }: { readonly conversation: Conversation }) {
  const { captured_duration: captured, id, live, lost_seconds: lost, started_at: started } = conversation
  const isPlaying = useSelected(player.state, ({ state, track }) => track?.conversation === id && state !== "paused")
  const [isOpen, setOpen] = useState(live)
  const panel = `files-${id}`
  const title = titleOf(conversation)
  const detail = detailOf(conversation)
  const file = fileOf(conversation)
  return (
    <li class={isPlaying ? "conversation playing" : "conversation"} data-conversation={id}>
      <div class="line">
        <PlayButton
          label={`${isPlaying ? "Pause" : "Play"} ${title}`}
          isPlaying={isPlaying}
          isDisabled={file === undefined}
          onPress={() => file !== undefined && player.toggle(trackOf(conversation, file), file.duration)}
        />
        <h4>
          <button
            type="button"
            class="disclose"
            aria-expanded={isOpen}
            aria-controls={panel}
            onClick={() => setOpen(!isOpen)}
          >
            {title}
          </button>
          {detail !== "" && <span class="detail">{detail}</span>}
        </h4>
        <span class="chips">
          {live && <span class="chip live">Live</span>}
          {lost > 0 && <span class="chip bad">{clock(lost)} lost</span>}
        </span>
        <span class="at">{started === null ? "" : time(started)}</span>
        <span class="length">{clock(captured)}</span>
      </div>
      <div id={panel}>
        {isOpen && <Files conversation={conversation} />}
        {isOpen && <RemoveButton conversation={conversation} />}
      </div>
    </li>
  )
}

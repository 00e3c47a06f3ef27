/** The current track in every view: pause, position, and a link to its conversation. */
import { find, list } from "../List/List.ts"
import { PlayButton } from "./PlayButton.tsx"
import { player } from "./Player.ts"
import { useSelected, useStore } from "../Store.ts"
import { titleOf } from "../List/Title.ts"
import { clock } from "../Format.ts"

const show = (conversation: string) => {
  location.hash = "#recordings"
  // After the view has rendered.
  setTimeout(() => {
    const row = document.querySelector(`[data-conversation="${CSS.escape(conversation)}"].conversation`)
    row?.scrollIntoView({ block: "center" })
    row?.querySelector<HTMLElement>(".disclose")?.focus({ preventScroll: true })
  })
}

export function NowPlaying() {
  const { end, position, state, track, message } = useStore(player.state)
  const conversation = useSelected(list, () => (track === undefined ? undefined : find(track.conversation)))
  if (track === undefined) return null
  const file = conversation?.audio_files.find(({ id }) => id === track.file)
  const total = Math.max(file?.duration ?? 0, end)
  const isPlaying = state !== "paused"
  return (
    <section class="now-playing" aria-label="Now playing">
      <div class="progress" aria-hidden="true">
        <div style={{ width: `${total === 0 ? 0 : Math.min(100, (100 * position) / total)}%` }} />
      </div>
      <PlayButton
        label={isPlaying ? "Pause" : "Resume"}
        isPlaying={isPlaying}
        onPress={() => player.toggle(track, total)}
      />
      <button type="button" class="name" onClick={() => show(track.conversation)}>
        {conversation === undefined ? track.conversation : titleOf(conversation)}
      </button>
      <span class="words" role="alert">
        {message}
      </span>
      <span class="number">
        {clock(position)} <span class="of">of {clock(total)}</span>
      </span>
      <button type="button" class="quiet" onClick={() => player.close()}>
        Close
      </button>
    </section>
  )
}

/** What is played, at hand wherever one looks: pause, place, and the way back to it. */
import { find, list } from "../List/List.ts"
import { PlayButton } from "./PlayButton.tsx"
import { player } from "./Player.ts"
import { useSelected, useStore } from "../Store.ts"
import { titleOf } from "../List/Title.ts"
import { clock } from "../Words.ts"

const show = (conversation: string) => {
  location.hash = "#recordings"
  // Once the view is there.
  setTimeout(() => {
    const row = document.querySelector(`[data-conversation="${CSS.escape(conversation)}"].conversation`)
    row?.scrollIntoView({ block: "center" })
    row?.querySelector<HTMLElement>(".disclose")?.focus({ preventScroll: true })
  })
}

export function NowPlaying() {
  const { end, position, state, track, words } = useStore(player.state)
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
        label={isPlaying ? "Pause" : "Play on"}
        isPlaying={isPlaying}
        onPress={() => player.toggle(track, total)}
      />
      <button type="button" class="name" onClick={() => show(track.conversation)}>
        {conversation === undefined ? track.conversation : titleOf(conversation)}
      </button>
      <span class="words" role="alert">
        {words}
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

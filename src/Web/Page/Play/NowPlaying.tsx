/** The current track in every view: pause, position, speed, the audio file that is next, and a link to its conversation. */
import { useEffect } from "preact/hooks"
import { find, list } from "../List/List.ts"
import { connectMediaKeys } from "./MediaKeys.ts"
import { PlayButton } from "./PlayButton.tsx"
import { nextSeconds, player } from "./Player.ts"
import { speed, speeds, stepped } from "./Speed.ts"
import { useSelected, useStore } from "../Store.ts"
import { titleOf } from "../List/Title.ts"
import { fileOf, type Track } from "./Track.ts"
import { clock, date } from "../Format.ts"

const show = (conversation: string) => {
  location.hash = "#recordings"
  // After the view has rendered.
  setTimeout(() => {
    const row = document.querySelector(`[data-conversation="${CSS.escape(conversation)}"].conversation`)
    row?.scrollIntoView({ block: "center" })
    row?.querySelector<HTMLElement>(".disclose")?.focus({ preventScroll: true })
  })
}

const steps: Readonly<Record<string, -1 | 1>> = { "<": -1, ">": 1 }

const isText = (target: EventTarget | null): boolean =>
  target instanceof HTMLTextAreaElement ||
  target instanceof HTMLSelectElement ||
  (target instanceof HTMLInputElement && target.type !== "range")

const onKey = (event: KeyboardEvent) => {
  const by = steps[event.key]
  if (by === undefined || event.ctrlKey || event.metaKey || event.altKey || isText(event.target)) return
  event.preventDefault()
  player.setSpeed(stepped(by))
}

/** The keys `<` and `>` do the same, except in text fields. */
const SpeedControl = () => {
  const value = useStore(speed)
  useEffect(() => {
    document.addEventListener("keydown", onKey)
    return () => document.removeEventListener("keydown", onKey)
  }, [])
  return (
    <select
      class="quiet speed"
      aria-label="Playback speed"
      title="Playback speed (keys < and >)"
      value={value}
      onChange={(event) => player.setSpeed(Number(event.currentTarget.value))}
    >
      {speeds.map((each) => (
        <option key={each} value={each}>
          {each}×
        </option>
      ))}
    </select>
  )
}

const Next = ({ next }: { readonly next: Track }) => (
  <div class="row next">
    <p role="status">Next: {date(fileOf(next)?.started_at ?? "")}</p>
    <div class="countdown" style={{ animationDuration: `${nextSeconds}s` }} aria-hidden="true" />
    <button type="button" class="quiet" onClick={() => player.skip(1)}>
      Play now
    </button>
    <button type="button" class="quiet" onClick={() => player.pause()}>
      Cancel
    </button>
  </div>
)

export function NowPlaying() {
  const { next, position, state, track, message } = useStore(player.state)
  const conversation = useSelected(list, () => (track === undefined ? undefined : find(track.conversation)))
  useEffect(connectMediaKeys, [])
  if (track === undefined) return null
  const total = player.duration
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
      <SpeedControl />
      <button type="button" class="quiet" onClick={() => player.close()}>
        Close
      </button>
      {next !== undefined && <Next next={next} />}
    </section>
  )
}

/** An audio file of a conversation: what it looks like, and how to hear and fetch it. */
import { Copy } from "./Copy.tsx"
import * as Model from "../Model.ts"
import { PlayButton } from "../Play/PlayButton.tsx"
import { idle, isSame, player, type Track } from "../Play/Player.ts"
import { urlOf } from "../Server.ts"
import { session } from "../Session.ts"
import { useSelected } from "../Store.ts"
import { titleOf } from "./Title.ts"
import { Waveform } from "../Play/Waveform.tsx"
import { bytes, date } from "../Words.ts"

/** Not further than this behind what is there, one listens live. */
const liveSeconds = 5
/** From where one begins to listen live: what is there is heard without a break. */
const leadSeconds = 1

export function trackOf(conversation: Model.Conversation, file: Model.AudioFile): Track {
  return {
    conversation: conversation.id,
    file: file.id,
    sampleRate: file.sample_rate
  }
}

/** The key is in the address for the moment of the click only: a download can't send headers. */
const download = (conversation: string, file: string) => {
  const link = document.createElement("a")
  link.href = `${urlOf(Model.audioPath(conversation, file)).href}?access_token=${encodeURIComponent(session.value.key ?? "")}`
  link.download = `${conversation}.wav`
  link.click()
}

const halves = (seconds: number): string => (Math.round(seconds * 2) / 2).toFixed(1)

export function FileRow(props: {
  readonly conversation: Model.Conversation
  readonly file: Model.AudioFile
  readonly waveform: Model.FileWaveform | undefined
  readonly isOnly: boolean
}) {
  const { conversation, file, isOnly, waveform } = props
  const track = trackOf(conversation, file)
  const { end, state } = useSelected(player.state, (playing) => (isSame(playing.track, track) ? playing : idle))
  const position = useSelected(player.state, () => player.placeOf(track))
  const isPlaying = state !== "paused"
  const total = Math.max(file.duration, waveform?.duration ?? 0, end)
  const isFollowing = isPlaying && total - position < liveSeconds
  const title = isOnly ? titleOf(conversation) : `${titleOf(conversation)}, ${date(file.started_at)}`
  const url = urlOf(Model.audioPath(conversation.id, file.id)).href
  const toggle = () => player.toggle(track, total)
  return (
    <div class="file">
      {!isOnly && (
        <h5>
          <PlayButton label={`${isPlaying ? "Pause" : "Play"} ${title}`} isPlaying={isPlaying} onPress={toggle} />
          {date(file.started_at)}
        </h5>
      )}
      <Waveform
        label={`Position in ${title}`}
        position={position}
        duration={total}
        waveform={waveform}
        isLive={conversation.live}
        onSeek={(to) => player.seek(track, to)}
        onToggle={toggle}
      />
      <div class="row actions">
        {conversation.live && (
          <button
            type="button"
            class={isFollowing ? "quiet on" : "quiet"}
            aria-pressed={isFollowing}
            onClick={() => (isFollowing ? player.pause() : player.play(track, Math.max(0, total - leadSeconds)))}
          >
            {isFollowing ? `Live · ${halves(total - position)} s behind` : "Listen live"}
          </button>
        )}
        <button type="button" class="quiet" onClick={() => download(conversation.id, file.id)}>
          Download ({bytes(file.bytes)})
        </button>
        <Copy
          text={`curl -fOJ -H "Authorization: Bearer $SPILLWAY_KEY" "${url}"`}
          label="Copy curl"
          hint="It takes the key from SPILLWAY_KEY: export SPILLWAY_KEY=… before."
        />
        <Copy text={url} label="Copy URL" />
        <span class="hint">
          {file.sample_rate / 1000} kHz · {file.codec === "pcm16" ? "PCM 16 bit" : file.codec}
        </span>
      </div>
    </div>
  )
}

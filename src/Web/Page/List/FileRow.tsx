/** An audio file of a conversation: waveform, player, download. */
import { CopyButton } from "./CopyButton.tsx"
import { DownloadButtons, signedUrl } from "./Downloads.tsx"
import * as Model from "../Model.ts"
import { PlayButton } from "../Play/PlayButton.tsx"
import { idle, player } from "../Play/Player.ts"
import { isSame, trackOf } from "../Play/Track.ts"
import { urlOf } from "../Server.ts"
import { useSelected } from "../Store.ts"
import { titleOf } from "./Title.ts"
import { Waveform } from "../Play/Waveform.tsx"
import { bytes, date } from "../Format.ts"

/** Playback within this of the end of a growing file counts as live. */
const liveSeconds = 5
/** Live playback starts this far before the end, so that it does not stall. */
const leadSeconds = 1

const halves = (seconds: number): string => (Math.round(seconds * 2) / 2).toFixed(1)

export function FileRow(props: {
  readonly conversation: Model.Conversation
  readonly file: Model.AudioFile
  readonly waveform: Model.FileWaveform | undefined
  readonly isOnly: boolean
  readonly isLast: boolean
}) {
  const { conversation, file, isLast, isOnly, waveform } = props
  const isLive = conversation.live && isLast
  const track = trackOf(conversation, file)
  const { end, state } = useSelected(player.state, (playing) => (isSame(playing.track, track) ? playing : idle))
  const position = useSelected(player.state, () => player.positionOf(track))
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
        isLive={isLive}
        onSeek={(to) => player.seek(track, to)}
        onToggle={toggle}
      />
      <div class="row actions">
        {isLive && (
          <button
            type="button"
            class={isFollowing ? "quiet on" : "quiet"}
            aria-pressed={isFollowing}
            onClick={() => (isFollowing ? player.pause() : player.play(track, Math.max(0, total - leadSeconds)))}
          >
            {isFollowing ? `Live · ${halves(total - position)} s behind` : "Listen live"}
          </button>
        )}
        <DownloadButtons conversation={conversation.id} file={file.id} title={title} size={bytes(file.bytes)} />
        <CopyButton
          text={`curl -fOJ -H "Authorization: Bearer $SPILLWAY_KEY" "${url}"`}
          label="Copy curl"
          hint="It takes the key from SPILLWAY_KEY: export SPILLWAY_KEY=… before."
        />
        <CopyButton
          text={async () => (await signedUrl(conversation.id, file.id, "wav")).href}
          label="Copy URL"
          hint="It plays without a key, for an hour."
        />
        <span class="hint">
          {file.sample_rate / 1000} kHz · {file.codec === "pcm16" ? "PCM 16 bit" : "Opus"}
        </span>
      </div>
    </div>
  )
}

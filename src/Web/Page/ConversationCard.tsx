/** One conversation: what it is, what it looks like, and how to hear and fetch it. */
import type { RefObject } from "preact"
import { useEffect, useRef, useState } from "preact/hooks"
import { Copy } from "./Copy.tsx"
import { find } from "./List.ts"
import * as Model from "./Model.ts"
import { pause } from "./Pause.ts"
import { idle, isSame, player, type Track } from "./Player.ts"
import { askJson, isAbort, Refused, urlOf } from "./Server.ts"
import { session } from "./Session.ts"
import { useSelected } from "./Store.ts"
import { Waveform } from "./Waveform.tsx"
import { bytes, date, duration } from "./Words.ts"

const points = 1_200
const liveMillis = 1_500
/** Of a conversation with more, the last ones are shown. */
const maxFiles = 50

/** What nobody sees is not asked for. */
const isSeen = (element: Element | null): boolean => {
  if (element === null || document.hidden) return false
  const { bottom, top, width } = element.getBoundingClientRect()
  return width > 0 && bottom > 0 && top < window.innerHeight
}

const useWaveforms = (
  conversation: Model.Conversation,
  place: RefObject<HTMLElement | null>
): ReadonlyMap<string, Model.FileWaveform> => {
  const [files, setFiles] = useState<ReadonlyMap<string, Model.FileWaveform>>(new Map())
  const { captured_duration, id, live } = conversation
  useEffect(() => {
    const stop = new AbortController()
    const draw = async () => {
      let isDrawn = false
      while (!stop.signal.aborted) {
        if (isSeen(place.current)) {
          try {
            const path = `${Model.pathOf(id)}/waveform?points=${points}`
            const { audio_files } = await askJson(Model.waveform, path, stop.signal)
            setFiles(new Map(audio_files.map((file) => [file.id, file])))
            isDrawn = !live
          } catch (cause) {
            if (isAbort(cause) || cause instanceof Refused) return
          }
        }
        if (isDrawn) return
        await pause(liveMillis, stop.signal)
      }
    }
    void draw()
    return () => stop.abort()
  }, [id, live, live ? 0 : captured_duration])
  return files
}

const trackOf = (conversation: string, file: Model.AudioFile): Track => ({
  conversation,
  file: file.id,
  sampleRate: file.sample_rate
})

const isStillLive = (id: string) => () => find(id)?.live ?? false

/** The key is in the address for the moment of the click only: a download can't send headers. */
const download = (conversation: string, file: string) => {
  const link = document.createElement("a")
  link.href = `${urlOf(Model.audioPath(conversation, file)).href}?access_token=${encodeURIComponent(session.value.key ?? "")}`
  link.download = `${conversation}.wav`
  link.click()
}

const FileRow = (props: {
  readonly conversation: Model.Conversation
  readonly file: Model.AudioFile
  readonly waveform: Model.FileWaveform | undefined
  readonly isOnly: boolean
}) => {
  const { conversation, file, isOnly, waveform } = props
  const track = trackOf(conversation.id, file)
  const { position, state, words } = useSelected(player.state, (playing) =>
    isSame(playing.track, track) ? playing : idle
  )
  const isPlaying = state !== "paused"
  const total = Math.max(file.duration, waveform?.duration ?? 0)
  const play = (from: number) => player.play(track, from, isStillLive(conversation.id))
  const name = isOnly ? conversation.id : `${conversation.id}, ${date(file.started_at)}`
  const url = urlOf(Model.audioPath(conversation.id, file.id)).href
  const curl = `curl -H "Authorization: Bearer $SPILLWAY_KEY" -o ${conversation.id}.wav ${url}`
  return (
    <div class="file">
      {!isOnly && <h4>{date(file.started_at)}</h4>}
      <div class="player">
        <button
          type="button"
          class={isPlaying ? "play on" : "play"}
          aria-label={`${isPlaying ? "Pause" : "Play"} ${name}`}
          onClick={() =>
            isPlaying ? player.pause() : play(position >= total - 0.05 && !conversation.live ? 0 : position)
          }
        >
          <svg viewBox="0 0 24 24" aria-hidden="true">
            {isPlaying ? <path d="M7 5h4v14H7zM13 5h4v14h-4z" /> : <path d="M8 5v14l11-7z" />}
          </svg>
        </button>
        <Waveform
          label={`Position in ${name}`}
          position={position}
          duration={total}
          waveform={waveform}
          isLive={conversation.live}
          onSeek={(to) => (isPlaying ? play(to) : player.place(track, to))}
        />
      </div>
      {words !== "" && (
        <p class="problem" role="alert">
          {words}
        </p>
      )}
      <div class="row actions">
        {conversation.live && (
          <button type="button" class="quiet" onClick={() => play(Math.max(0, total - 1))}>
            Listen live
          </button>
        )}
        <button type="button" class="quiet" onClick={() => download(conversation.id, file.id)}>
          Download ({bytes(file.bytes)})
        </button>
        <Copy text={curl} label="Copy curl" />
        <Copy text={url} label="Copy URL" />
        <span class="hint">
          {file.sample_rate / 1000} kHz · {file.codec === "pcm16" ? "PCM 16 bit" : file.codec}
        </span>
      </div>
    </div>
  )
}

const Files = ({ conversation }: { readonly conversation: Model.Conversation }) => {
  const place = useRef<HTMLDivElement>(null)
  const waveforms = useWaveforms(conversation, place)
  const { audio_files: files } = conversation
  return (
    <div class="files" ref={place}>
      {files.length === 0 && <p class="hint">No audio of it is on disk yet.</p>}
      {files.length > maxFiles && (
        <p class="hint">
          The last {maxFiles} of its {files.length} audio files.
        </p>
      )}
      {files.slice(-maxFiles).map((file) => (
        <FileRow
          key={file.id}
          conversation={conversation}
          file={file}
          waveform={waveforms.get(file.id)}
          isOnly={files.length === 1}
        />
      ))}
    </div>
  )
}

export const ConversationCard = ({ conversation }: { readonly conversation: Model.Conversation }) => {
  const { captured_duration: captured, id, live, lost_seconds: lost, started_at: started } = conversation
  const isPlaying = useSelected(player.state, ({ state, track }) => track?.conversation === id && state !== "paused")
  const [isOpen, setOpen] = useState(live)
  const panel = `files-${id}`
  const isWhole = Math.abs(conversation.duration - captured) < 0.05
  return (
    <li class={isPlaying ? "card conversation playing" : "card conversation"} data-conversation={id}>
      <h3>
        <button
          type="button"
          class="disclose"
          aria-expanded={isOpen}
          aria-controls={panel}
          onClick={() => setOpen(!isOpen)}
        >
          <span class="name">{id}</span>
          <span class="facts">
            {live && <span class="chip live">Live</span>}
            {lost > 0 && <span class="chip bad">{duration(lost)} lost</span>}
            <span>{started === null ? "not started" : date(started)}</span>
            <span>
              {duration(captured)}
              {!isWhole && ` captured in ${duration(conversation.duration)}`}
            </span>
          </span>
        </button>
      </h3>
      <div id={panel}>{isOpen && <Files conversation={conversation} />}</div>
    </li>
  )
}
